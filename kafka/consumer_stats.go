package kafka

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// ConsumerTotals are counters.
type ConsumerTotals struct {
	Unique, Redelivery, Duplicate uint64 // verdicts; a copy that takes the place of a record that was given up counts as redelivery
	NoKey                         uint64 // dropped for want of a key
	Bypassed                      uint64 // passed without a verdict, for want of a key
	Unjudged                      uint64 // passed without a verdict, with RestoringPass

	Handled      uint64        // records that the handler has done
	Calls        uint64        // of the handler
	Retries      uint64        // calls that were, or will be, another try
	Skipped      uint64        // records given up, with OnErrorSkip
	DeadLettered uint64        // records written to the dead-letter topic and given up
	HandlerTime  time.Duration // in all calls that have returned
}

// ConsumerPartition is a snapshot of one assigned partition.
type ConsumerPartition struct {
	Partition int32
	State     State
	Paused    bool // fetching is paused: the handler is slower than the topic

	ConsumerTotals // since the assignment

	Queued, QueuedBytes int64 // waiting for a verdict
	Next                int64 // everything below is done
	Committed           int64 // the offset Kafka last acknowledged; -1: none in this assignment
	Learning
	Lag int64 // from Next to the topic's end as of the last fetch; -1: not known yet
}

// ConsumerStats is a snapshot of a Consumer.
type ConsumerStats struct {
	Partitions []ConsumerPartition // ascending
	// LeaseHeld says whether the group's coordinator has confirmed this member within about a session, so that nobody else can have its partitions.
	LeaseHeld      bool
	SessionTimeout time.Duration // of the group; with ProtocolConsumer as the brokers told it, 0 before they have
	SessionAssumed bool          // it may not be read, and this is what is taken for it
	Unconfirmed    bool          // there are some, and they wait: the group's coordinator has not confirmed this member for about a session
	CommitFailures int64         // offset commits that Kafka did not acknowledge; the next one makes good
	Commits        int64         // offset commits sent
	Pauses         int64         // times a partition's fetching was paused
	Learned        uint64        // records taken in again because the store was missing them, of all partitions
	Missing        Missing       // what was found missing at assignments
	Changelog      ChangelogStats
	Standby        []StandbyPartition // partitions that this member follows, ascending
	// Totals of all partitions since NewConsumer, also of those no longer assigned.
	Totals ConsumerTotals
}

// Ready says whether every assigned partition has its start claimed, and none waits for the coordinator. It is true with no partition assigned.
func (s *ConsumerStats) Ready() bool {
	if s.Unconfirmed {
		return false
	}
	for i := range s.Partitions {
		if s.Partitions[i].State == StateRestoring {
			return false
		}
	}
	return true
}

// Stats returns a snapshot.
func (c *Consumer) Stats() ConsumerStats {
	s := ConsumerStats{Commits: c.commits.Load(), CommitFailures: c.commitFailures.Load(), Pauses: c.pauses.Load(),
		Learned: c.learner.records.Load(), Missing: c.missing.snapshot(), Changelog: c.changelogStats(), Standby: c.standbyStats()}
	c.mu.Lock()
	s.Totals = c.totals
	tasks := make([]*handling, 0, len(c.mu.assigned))
	for _, a := range c.mu.assigned {
		h := a.task.(*handling)
		tasks = append(tasks, h)
		h.count.addTo(&s.Totals)
	}
	c.mu.Unlock()
	for _, h := range tasks {
		s.Partitions = append(s.Partitions, h.stats())
	}
	s.LeaseHeld, s.SessionTimeout, s.SessionAssumed = c.lease.holds(), c.lease.sessionTimeout(), c.lease.assumed.Load()
	s.Unconfirmed = len(s.Partitions) > 0 && !s.LeaseHeld
	slices.SortFunc(s.Partitions, func(a, b ConsumerPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	return s
}

func (h *handling) stats() ConsumerPartition {
	var t ConsumerTotals
	h.count.addTo(&t)
	g := h.gauges()
	return ConsumerPartition{Partition: h.part, State: g.state, Paused: g.paused, ConsumerTotals: t,
		Queued: g.queued, QueuedBytes: g.queuedBytes, Next: g.next, Committed: g.committed, Lag: g.lag, Learning: h.learned()}
}

// verdictCount counts the verdicts of a chunk.
type verdictCount struct{ unique, redelivery, duplicate, noKey, bypassed uint64 }

// handlingCounters of one partition; run writes, anyone reads.
type handlingCounters struct {
	unique, redelivery, duplicate, noKey, bypassed, unjudged atomic.Uint64

	handled, calls, retries, skipped, deadLettered atomic.Uint64
	nanos                                          atomic.Int64
}

func (c *handlingCounters) verdicts(t *verdictCount) {
	c.unique.Add(t.unique)
	c.redelivery.Add(t.redelivery)
	c.duplicate.Add(t.duplicate)
	c.noKey.Add(t.noKey)
	c.bypassed.Add(t.bypassed)
}

// inherited takes back verdicts: what was counted as duplicate passes.
func (c *handlingCounters) inherited(n int) {
	c.duplicate.Add(-uint64(n))
	c.redelivery.Add(uint64(n))
}

func (c *handlingCounters) done(n int) { c.handled.Add(uint64(n)) }

func (c *handlingCounters) called(d time.Duration) {
	c.calls.Add(1)
	c.nanos.Add(int64(d))
}

func (c *handlingCounters) givenUp(n int, how OnError) {
	if how == OnErrorSkip {
		c.skipped.Add(uint64(n))
	} else {
		c.deadLettered.Add(uint64(n))
	}
}

func (c *handlingCounters) addTo(t *ConsumerTotals) {
	t.Unique += c.unique.Load()
	t.Redelivery += c.redelivery.Load()
	t.Duplicate += c.duplicate.Load()
	t.NoKey += c.noKey.Load()
	t.Bypassed += c.bypassed.Load()
	t.Unjudged += c.unjudged.Load()
	t.Handled += c.handled.Load()
	t.Calls += c.calls.Load()
	t.Retries += c.retries.Load()
	t.Skipped += c.skipped.Load()
	t.DeadLettered += c.deadLettered.Load()
	t.HandlerTime += time.Duration(c.nanos.Load())
}
