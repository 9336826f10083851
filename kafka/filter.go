package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/engine"
)

// FilterConfig configures a Filter. Zero values mean the defaults named with the fields; Engine must be set.
type FilterConfig struct {
	// Engine holds the state. The filter claims a partition when it sees the first record of it, and gives it back when it
	// is revoked, or with Close. The caller closes the engine.
	Engine       *engine.Engine
	Key          *KeyExtractor // default: payload
	OnMissingKey MissingKey    // default: pass
}

// Filter leaves the duplicates out in a poll loop that is the caller's own, with any options and any number of topics:
//
//	for {
//		fetches := cl.PollFetches(ctx)
//		passed, err = f.Fetches(fetches, passed[:0])
//		handle(passed)
//		err = f.CommitOffsets(ctx, cl) // marks durable, then offsets
//		cl.AllowRebalance()
//	}
//
// It knows what it was shown, not what was handled: Commit and CommitOffsets say that all of it is. Where a handler fails for
// good, do not call them: end the loop, and the next start goes on at the last commit. (A Consumer can also try again,
// skip, and write dead letters.)
//
// The methods may be called from any goroutine, and wait for each other. A loop with a goroutine for each partition makes a
// Filter for each: they share the engine.
type Filter struct {
	cfg FilterConfig // immutable

	mu    sync.Mutex
	parts map[string]map[int32]*filtered // claimed partitions; protected by mu
	last  *filtered                      // the one the last record was of; nil: none; protected by mu
	check checker                        // protected by mu
	stats FilterStats                    // protected by mu
}

// filtered is a claimed partition. Protected by Filter.mu.
type filtered struct {
	topic string
	part  int32
	state *engine.Partition
	next  kgo.EpochOffset // behind the last record shown; Offset -1: none yet
}

// FilterStats counts what a Filter has decided.
type FilterStats struct {
	Unique, Redelivery, Duplicate uint64 // verdicts
	NoKey                         uint64 // dropped for want of a key
	Bypassed                      uint64 // passed without a verdict, for want of a key
	CommitFailures                uint64 // of CommitOffsets: what Kafka did not acknowledge, by partition or request
}

// NewFilter checks the configuration: the error is a *ConfigError.
func NewFilter(cfg FilterConfig) (*Filter, error) {
	def(&cfg.OnMissingKey, MissingPass)
	if cfg.Key == nil {
		cfg.Key = defaultKey()
	}
	var problems []string
	if cfg.Engine == nil {
		problems = append(problems, "engine is missing")
	}
	if err := cfg.OnMissingKey.validate(); err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return nil, &ConfigError{Problems: problems}
	}
	return &Filter{cfg: cfg, parts: make(map[string]map[int32]*filtered)}, nil
}

// Options are those that the client of the loop above needs: no commits but ours, no record of an aborted transaction (it must
// not own a key), no rebalance between a poll and AllowRebalance, and the partitions given back when they go. Where the caller
// sets OnPartitionsRevoked or OnPartitionsLost itself, after these, it calls Revoked in them.
func (f *Filter) Options() []kgo.Opt {
	return []kgo.Opt{
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(f.Revoked),
		kgo.OnPartitionsLost(f.Revoked),
	}
}

// Fetches appends the records of a poll that pass to dst: see Filter. It does not look at the errors of the poll.
func (f *Filter) Fetches(fetches kgo.Fetches, dst []*kgo.Record) (passed []*kgo.Record, err error) {
	passed = dst
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if err == nil {
			passed, err = f.Filter(p.Records, passed)
		}
	})
	return passed, err
}

// Filter appends the records that pass to dst, which may be records[:0]. The records of a partition must come in the order of the log; partitions may be mixed. It
// allocates nothing in the steady state, and keeps nothing of the records.
//
// After an error (*MissingKeyError, or the engine's) dst holds what has passed so far, and nothing behind it was decided: commit no more, and
// stop.
func (f *Filter) Filter(records, dst []*kgo.Record) ([]*kgo.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(records) > 0 {
		first, n := records[0], 1
		for n < min(len(records), chunkRecords) && records[n].Partition == first.Partition && records[n].Topic == first.Topic {
			n++
		}
		part, err := f.claim(first.Topic, first.Partition)
		if err != nil {
			return dst, err
		}
		if dst, err = f.chunk(part, records[:n], dst); err != nil {
			return dst, err
		}
		records = records[n:]
	}
	return dst, nil
}

// claim returns the partition, and claims it when it is new. Called with mu held.
func (f *Filter) claim(topic string, part int32) (*filtered, error) {
	if f.last != nil && f.last.part == part && f.last.topic == topic {
		return f.last, nil
	}
	p := f.parts[topic][part]
	if p == nil {
		state, err := f.cfg.Engine.Partition(topic, part)
		if err != nil {
			return nil, fmt.Errorf("kafka: %s/%d: claim the state: %w", topic, part, err)
		}
		p = &filtered{topic: topic, part: part, state: state, next: kgo.EpochOffset{Offset: -1}}
		if f.parts[topic] == nil {
			f.parts[topic] = make(map[int32]*filtered)
		}
		f.parts[topic][part] = p
	}
	f.last = p
	return p, nil
}

// chunk decides some records of one partition. Called with mu held.
func (f *Filter) chunk(p *filtered, chunk, dst []*kgo.Record) ([]*kgo.Record, error) {
	if err := f.check.check(f.cfg.Key, f.cfg.OnMissingKey, p.state, chunk); err != nil {
		return dst, err
	}
	end := chunk[len(chunk)-1] // before dst, which may lie over chunk
	v := 0
	for i, r := range chunk {
		switch {
		case r.Attrs.IsControl():
			continue
		case f.check.keyed[i]:
			kind := f.check.verdicts[v].Kind
			v++
			switch kind {
			case engine.Duplicate:
				f.stats.Duplicate++
				continue
			case engine.Redelivery:
				f.stats.Redelivery++
			default:
				f.stats.Unique++
			}
		case f.cfg.OnMissingKey == MissingDrop:
			f.stats.NoKey++
			continue
		default:
			f.stats.Bypassed++
		}
		dst = append(dst, r)
	}
	p.next = kgo.EpochOffset{Epoch: end.LeaderEpoch, Offset: end.Offset + 1}
	clear(f.check.recs) // keys hold on to what was fetched
	return dst, nil
}

// Commit says that everything the filter was shown is done, and makes the marks durable, with one fsync for all partitions. It returns
// the offsets that may be committed to Kafka now, for kgo's CommitOffsetsSync; records that were dropped are counted in, which those
// of CommitRecords would not be. When ctx ends first its error is returned.
func (f *Filter) Commit(ctx context.Context) (map[string]map[int32]kgo.EpochOffset, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	offsets := make(map[string]map[int32]kgo.EpochOffset, len(f.parts))
	var shown []*filtered
	var tickets []engine.Ticket
	for topic, parts := range f.parts {
		for part, p := range parts {
			if p.next.Offset < 0 {
				continue
			}
			ticket, err := p.state.CommitStart(p.next.Offset)
			if err != nil {
				return nil, fmt.Errorf("kafka: %s/%d: commit of the marks below %d: %w", topic, part, p.next.Offset, err)
			}
			shown, tickets = append(shown, p), append(tickets, ticket)
			if offsets[topic] == nil {
				offsets[topic] = make(map[int32]kgo.EpochOffset, len(parts))
			}
			offsets[topic][part] = p.next
		}
	}
	for i, p := range shown {
		if err := p.state.CommitWait(ctx, tickets[i]); err != nil {
			return nil, fmt.Errorf("kafka: %s/%d: commit of the marks below %d: %w", p.topic, p.part, p.next.Offset, err)
		}
	}
	return offsets, nil
}

// CommitOffsets is Commit, and then the commit of the offsets to Kafka with the client of the loop. It returns what cannot pass
// by itself: an error of Commit, of ctx, or a broker's that a later commit would meet again. A rebalance, or a coordinator that is away for a moment, is none: it is counted in
// FilterStats.CommitFailures, the marks are ahead of the offsets for a while, which does no harm, and the next commit makes good.
func (f *Filter) CommitOffsets(ctx context.Context, cl *kgo.Client) error {
	offsets, err := f.Commit(ctx)
	if err != nil || len(offsets) == 0 {
		return err
	}
	var failed []error
	cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failed = append(failed, err)
			return
		}
		for i := range resp.Topics {
			for _, p := range resp.Topics[i].Partitions {
				if word := kerr.ErrorForCode(p.ErrorCode); word != nil {
					failed = append(failed, fmt.Errorf("%s/%d: %w", resp.Topics[i].Topic, p.Partition, word))
				}
			}
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.mu.Lock()
	f.stats.CommitFailures += uint64(len(failed))
	f.mu.Unlock()
	if failed = slices.DeleteFunc(failed, commitPasses); len(failed) > 0 {
		return fmt.Errorf("kafka: offset commit: %w", errors.Join(failed...))
	}
	return nil
}

// commitPasses says whether a later commit may succeed where this one failed. The group's words about generations and members
// are no retriable ones, because the same request would fail again; a new one, after the rebalance, does not.
func commitPasses(err error) bool {
	for _, passing := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return !permanent(err)
}

// Revoked gives back the partitions, and commits nothing: what of them was shown may not be done. It has the form of the
// client's callbacks, for revoked partitions and for lost ones.
func (f *Filter) Revoked(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for topic, list := range parts {
		for _, part := range list {
			f.release(topic, part)
		}
	}
}

// Close gives back all partitions, and commits nothing. The filter may be used again.
func (f *Filter) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for topic, parts := range f.parts {
		for part := range parts {
			f.release(topic, part)
		}
	}
}

// release closes the handle of a partition. Called with mu held.
func (f *Filter) release(topic string, part int32) {
	if p := f.parts[topic][part]; p != nil {
		_ = p.state.Close() // always nil
		delete(f.parts[topic], part)
		f.last = nil
	}
}

// Stats returns the counts so far.
func (f *Filter) Stats() FilterStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}
