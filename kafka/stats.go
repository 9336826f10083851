package kafka

import (
	"sync/atomic"
	"time"
)

// State of an assigned partition.
type State uint8

const (
	// StateRestoring: finding out where to go on, or learning what the store is missing; records may already wait in the queue.
	StateRestoring State = iota
	// StateRunning: records are relayed.
	StateRunning
	// StateDraining: revoked or stopping; what is under way is being finished.
	StateDraining
)

// String returns the state in lower case, as metrics name it.
func (s State) String() string {
	switch s {
	case StateRestoring:
		return "restoring"
	case StateRunning:
		return "running"
	case StateDraining:
		return "draining"
	}
	return "unknown"
}

// PartitionStats is a snapshot of one assigned partition.
type PartitionStats struct {
	Partition int32
	State     State
	Paused    bool // fetching is paused: the output is slower than the input

	Totals // since the assignment

	Queued, QueuedBytes int64 // waiting for a verdict
	Next                int64 // everything below is in the output, in the duplicates' topic, or dropped
	Committed           int64 // the offset Kafka last acknowledged; -1: none in this assignment
	Learning
	Lag int64 // from Next to the input's end as of the last fetch; -1: not known yet
}

// Stats is a snapshot of the relay.
type Stats struct {
	Mode       Mode             // what SetMode set last; a partition takes it up at its next chunk
	Partitions []PartitionStats // ascending
	// LeaseHeld says whether the group's coordinator has confirmed this member within about a session, so that nobody else can have its partitions.
	LeaseHeld      bool
	SessionTimeout time.Duration // of the group; with ProtocolConsumer as the brokers told it, 0 before they have
	SessionAssumed bool          // it may not be read, and this is what is taken for it
	Unconfirmed    bool          // there are some, and they wait: the group's coordinator has not confirmed this member for about a session
	ProduceRetries int64         // batches sent again, for any passing cause
	CommitFailures int64         // offset commits that Kafka did not acknowledge; the next one makes good
	Commits        int64         // offset commits sent
	Pauses         int64         // times a partition's fetching was paused
	Learned        uint64        // records taken in again because the store was missing them, of all partitions
	Added          uint64        // partitions added to the input while this ran, or while the group was away: keys may have moved
	Missing        Missing       // what was found missing at assignments
	Changelog      ChangelogStats
	Standby        []StandbyPartition // partitions that this member follows, ascending
	// Totals of all partitions since NewRelay, also of those no longer assigned.
	Totals Totals
}

// Totals are counters.
type Totals struct {
	Unique, Redelivery, Duplicate uint64 // verdicts
	NoKey                         uint64 // dropped for want of a key; in shadow mode: passed, tagged
	Bypassed                      uint64 // passed without a verdict, for want of a key
	Unjudged                      uint64 // passed without a verdict: in bypass, which leaves no mark, or with RestoringPass
	Tagged                        uint64 // duplicates among those passed to the output
	AlreadyThere                  uint64 // passed, but found in the output's tail: not produced again
	Produced                      uint64 // records acknowledged by the output
	ProducedBytes                 uint64 // as sent: compressed, with headers
	DuplicatesProduced            uint64 // records acknowledged by the duplicates' topic
}

// counters of one partition; the worker writes (produced*: the producer's goroutine), anyone reads.
type counters struct {
	unique, redelivery, duplicate, noKey, bypassed, unjudged, tagged, already, produced, producedBytes, duplicatesProduced atomic.Uint64
}

// add takes in what a chunk came to.
func (c *counters) add(unique, redelivery, duplicate, noKey, bypassed, already uint64) {
	c.unique.Add(unique)
	c.redelivery.Add(redelivery)
	c.duplicate.Add(duplicate)
	c.noKey.Add(noKey)
	c.bypassed.Add(bypassed)
	c.already.Add(already)
}

// addTo adds the counters to t.
func (c *counters) addTo(t *Totals) {
	t.Unique += c.unique.Load()
	t.Redelivery += c.redelivery.Load()
	t.Duplicate += c.duplicate.Load()
	t.NoKey += c.noKey.Load()
	t.Bypassed += c.bypassed.Load()
	t.Unjudged += c.unjudged.Load()
	t.Tagged += c.tagged.Load()
	t.AlreadyThere += c.already.Load()
	t.Produced += c.produced.Load()
	t.ProducedBytes += c.producedBytes.Load()
	t.DuplicatesProduced += c.duplicatesProduced.Load()
}

// Ready says whether every assigned partition is past its restore. It is true with no partition assigned.
func (s *Stats) Ready() bool {
	for i := range s.Partitions {
		if s.Partitions[i].State == StateRestoring {
			return false
		}
	}
	return true
}
