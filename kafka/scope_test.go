package kafka

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"noecho/internal/testutil"
)

// topicWide is a relay whose partitions share their marks, and which keeps its name when its disk is lost.
func topicWide(cfg *RelayConfig) {
	cfg.Scope, cfg.InstanceID = ScopeTopic, "one"
	cfg.Key, _ = ParseKey("header:id")
}

// spread makes n records as a producer without keys does: each try of a message goes to any partition, soon after the first or much
// later. Messages are numbered from first on.
func spread(rng *rand.Rand, parts int32, first, n int) (records []*kgo.Record) {
	fresh := first
	for range n {
		id := fresh
		switch rng.IntN(5) {
		case 0:
			id = max(0, fresh-1-rng.IntN(4))
		case 1:
			id = rng.IntN(fresh + 1)
		}
		fresh = max(fresh, id+1)
		r := &kgo.Record{Partition: rng.Int32N(parts), Value: fmt.Appendf(nil, "m%06d", id)}
		r.Headers = []kgo.RecordHeader{{Key: "id", Value: strconv.AppendInt(nil, int64(id), 10)}}
		records = append(records, r)
	}
	return records
}

// requireEach says that each message that was fed is in the output so many times, unaltered, each partition in the order of the input.
func (w *world) requireEach(times int) {
	w.t.Helper()
	counts := make(map[string]int)
	for _, records := range w.fed {
		for _, r := range records {
			counts[string(r.Value)] = times
		}
	}
	for part, records := range w.output() {
		last, passes := int64(-1), 1
		for _, r := range records {
			source := string(r.Headers[len(r.Headers)-1].Value)
			require.True(w.t, strings.HasPrefix(source, fmt.Sprintf("%s/%d/", testIn, part)), source)
			at, err := strconv.ParseInt(source[strings.LastIndexByte(source, '/')+1:], 10, 64)
			require.NoError(w.t, err)
			if at <= last {
				passes++
			}
			last = at
			require.Equal(w.t, string(w.fed[part][at].Value), string(r.Value))
			if len(evidenceOf(r)) == 0 { // else it is a tagged copy
				counts[string(r.Value)]--
			}
		}
		require.LessOrEqual(w.t, passes, times, "partition %d is out of order", part)
	}
	maps.DeleteFunc(counts, func(_ string, left int) bool { return left == 0 })
	require.Empty(w.t, counts, "messages that are missing, or (below 0) too many")
}

// TestScopeTopic: each message passes once, whichever partition its tries went to, also across an orderly restart.
func TestScopeTopic(t *testing.T) {
	w := newWorld(t, 4)
	w.edit = topicWide
	rng := rand.New(rand.NewPCG(50, 1))
	for i := range 3 {
		w.feed(spread(rng, 4, i*2000, 3000)...)
		l := w.start(nil, nil)
		l.settle()
		if i > 0 {
			require.Zero(t, l.relay.Stats().Totals.AlreadyThere)
		}
		l.stop()
		w.requireEach(1)
	}
}

// TestScopePartition is the default: a copy in another partition is not found.
func TestScopePartition(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(rec(0, "a", "1"), rec(1, "a", "2"), rec(1, "a", "3"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestScopeTopicCrashes: many lives, each dying somewhere, some with the loss of the disk. Nothing is lost, nothing repeated.
func TestScopeTopicCrashes(t *testing.T) {
	for _, choice := range []OnDuplicate{DuplicateDrop, DuplicateTag, DuplicateTopic} {
		t.Run(string(choice), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(rt, 3, kfake.SeedTopics(3, testDup))
				w.edit = func(cfg *RelayConfig) {
					topicWide(cfg)
					if cfg.OnDuplicate = choice; choice == DuplicateTopic {
						cfg.DuplicatesTopic = testDup
					}
				}
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 4))
				for life := range rapid.IntRange(1, 6).Draw(rt, "lives") {
					w.feed(spread(rng, 3, life*300, rng.IntN(400))...)
					w.live(rapid.SampledFrom(crashPoints).Draw(rt, "point"), rapid.Int64Range(1, 12).Draw(rt, "n"),
						rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"), rng.Uint64())
					if rapid.IntRange(0, 2).Draw(rt, "disk") == 0 {
						w.fs = testutil.NewFS()
					}
				}
				l := w.start(nil, nil)
				l.settle()
				l.stop()
				w.requireEach(1)
			})
		})
	}
}

// TestScopeTopicOriginalFirst: the original's partition of the output is stuck. The copy's goes as far as the copy, and no further; so
// that when the process dies and the disk with it, the message is still there.
func TestScopeTopicOriginalFirst(t *testing.T) {
	w := newWorld(t, 2)
	w.edit = topicWide
	id := func(part int32, id string) *kgo.Record {
		r := rec(part, "", id)
		r.Headers = []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}
		return r
	}
	stuck := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	l := w.start(nil, nil)
	w.feed(id(0, "a"))
	require.NoError(t, stuck.Wait(t.Context(), 1)) // taken in, and on its way
	w.feed(id(1, "b"), id(1, "a"), id(1, "c"))
	w.eventually("b in the output, though c waits", func() bool { return len(w.output()[1]) > 0 })
	require.NoError(t, stuck.Wait(t.Context(), 5))
	require.Equal(t, []string{"b"}, values(w.output()[1]))
	at, _ := w.committed(1)
	require.LessOrEqual(t, at, int64(1))
	l.die(0, 1)
	l.bury()
	w.fs = testutil.NewFS()
	stuck.Remove()
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireEach(1)
}

func values(records []*kgo.Record) (out []string) {
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

// TestScopeTopicStop: a stop does not wait for an original that cannot get there.
func TestScopeTopicStop(t *testing.T) {
	w := newWorld(t, 2)
	w.edit = func(cfg *RelayConfig) { topicWide(cfg); cfg.RebalanceTimeout = time.Second }
	rng := rand.New(rand.NewPCG(51, 1))
	stuck := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	w.feed(spread(rng, 2, 0, 500)...)
	l := w.start(nil, nil)
	require.NoError(t, stuck.Wait(t.Context(), 1))
	l.stop()
	stuck.Remove()
	w.edit = topicWide
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireEach(1)
}

// TestScopeTopicRewind: the operator sets the group back. Originals pass again, copies in other partitions do not.
func TestScopeTopicRewind(t *testing.T) {
	w := newWorld(t, 3)
	w.edit = func(cfg *RelayConfig) { topicWide(cfg); brief(cfg) }
	w.feed(spread(rand.New(rand.NewPCG(52, 1)), 3, 0, 3000)...)
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.vacate()
	for part := range w.parts {
		w.reset(part, 0)
	}
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireEach(2)
}

// TestScopeTopicEvidence: a tagged copy names the partition of its original, where that is another one.
func TestScopeTopicEvidence(t *testing.T) {
	w := newWorld(t, 2)
	w.edit = func(cfg *RelayConfig) { topicWide(cfg); cfg.OnDuplicate = DuplicateTag; cfg.Key, _ = ParseKey("key") }
	l := w.start(nil, nil)
	w.feed(rec(0, "x", "1"), rec(0, "a", "1"))
	l.settle()
	w.feed(rec(0, "a", "2"))
	w.feed(rec(1, "y", "1"), rec(1, "a", "3"))
	l.settle()
	l.stop()
	out := w.output()
	require.Equal(t, map[string]string{verdictHeader: "duplicate", originalHeader: "1", ageHeader: "2000"}, evidenceOf(out[0][2]))
	require.Empty(t, evidenceOf(out[1][0]))
	require.Equal(t, map[string]string{verdictHeader: "duplicate", originalHeader: "1", partitionHeader: "0"}, evidenceOf(out[1][1]))
}

// TestScopeTopicAddedPartition: what is in the topic's new partition is a copy of what was in the old ones.
func TestScopeTopicAddedPartition(t *testing.T) {
	w := newWorld(t, 1)
	_, err := w.adm.CreatePartitions(t.Context(), 1, testOut)
	require.NoError(t, err)
	w.edit = func(cfg *RelayConfig) {
		topicWide(cfg)
		cfg.Client = append(cfg.Client, kgo.MetadataMinAge(10*time.Millisecond))
	}
	l := w.prepare(nil, nil)
	l.m.watchEvery = 10 * time.Millisecond
	l.start()
	w.feed(spread(rand.New(rand.NewPCG(53, 1)), 1, 0, 500)...)
	l.settle()
	_, err = w.adm.CreatePartitions(t.Context(), 1, testIn)
	require.NoError(t, err)
	w.parts = 2
	w.eventually("the new partition", func() bool { return len(l.m.assignments()) == 2 })
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer cl.Close()
	w.feedWith(cl, spread(rand.New(rand.NewPCG(53, 2)), 2, 200, 500)...)
	l.settle()
	l.stop()
	w.requireEach(1)
}

// TestScopeTopicAlone: a second member refuses itself, and the first goes on. One that joins all the same ends the first.
func TestScopeTopicAlone(t *testing.T) {
	w := newWorld(t, 2)
	w.edit = func(cfg *RelayConfig) { topicWide(cfg); quick(cfg) }
	l := w.start(nil, nil)
	w.feed(spread(rand.New(rand.NewPCG(54, 1)), 2, 0, 500)...)
	l.settle()

	fs := w.fs
	w.fs = testutil.NewFS()
	second := w.prepare(nil, func(cfg *RelayConfig) { cfg.InstanceID = "two" })
	w.fs = fs
	var refused *ScopeError
	require.ErrorAs(t, second.relay.Preflight(t.Context()), &refused)
	require.ErrorAs(t, second.relay.Run(t.Context()), &refused)
	require.ErrorContains(t, refused, "another member")
	require.NoError(t, second.e.Close())

	w.feed(spread(rand.New(rand.NewPCG(54, 2)), 2, 400, 500)...)
	l.settle()
	w.requireEach(1)
	g := w.guest()
	defer g.Close()
	select {
	case <-l.done:
	case <-time.After(patience):
		require.Fail(t, "the first has not heard of the guest")
	}
	require.ErrorAs(t, l.err, &refused)
	require.NoError(t, l.e.Close())
}

// TestScopeTopicShared: a member that neither leads nor gives anything up, because the other one was there before it looked, does not run
// with some of the partitions.
func TestScopeTopicShared(t *testing.T) {
	w := newWorld(t, 2)
	w.edit = topicWide
	g := w.guest()
	defer g.Close()
	w.eventually("the guest", func() bool { info := w.cluster.GroupInfo(testGroup); return info != nil && len(info.Members) > 0 })
	w.feed(spread(rand.New(rand.NewPCG(56, 1)), 2, 0, 100)...)
	unheard := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeGroups}, Err: kerr.GroupAuthorizationFailed, Count: 1})
	l := w.start(nil, nil)
	require.NoError(t, unheard.Wait(t.Context(), 1))
	for polled := true; polled; { // or the guest's rebalances stand still
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		g.PollFetches(ctx)
		cancel()
		select {
		case <-l.done:
			polled = false
		default:
		}
	}
	var refused *ScopeError
	require.ErrorAs(t, l.err, &refused)
	require.ErrorContains(t, refused, "another member")
	require.NoError(t, l.e.Close())
	require.Empty(t, w.output(), "nothing is decided without the marks of all partitions")
}

// TestScopeUnknown: a scope that there is not.
func TestScopeUnknown(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(&network{})
	cfg.Scope = "cluster"
	_, err := newRelay(cfg, noStore{})
	require.ErrorContains(t, err, `scope "cluster" is none of partition, topic`)
}

// TestScopeTopicStopWhileWaiting: a partition waits for an original that this run will not come to any more. A stop does not wait for
// it, though the rebalance timeout would let it.
// TestScopeTopicRewindOne: one partition is set back, and stands still. The others do not wait for it: what it is about to handle again was done.
func TestScopeTopicRewindOne(t *testing.T) {
	w := newWorld(t, 2)
	w.edit = func(cfg *RelayConfig) { topicWide(cfg); brief(cfg); cfg.Key, _ = ParseKey("key") }
	w.feed(rec(0, "a", "1"), rec(1, "b", "1"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.vacate()
	w.reset(0, 0)
	stuck := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	l = w.start(nil, nil)
	require.NoError(t, stuck.Wait(t.Context(), 1))
	w.feed(rec(1, "a", "2"), rec(1, "c", "1"))
	w.eventually("c in the output", func() bool { return len(w.output()[1]) == 2 })
	stuck.Remove()
	l.settle()
	l.stop()
	require.Equal(t, []string{"1", "1"}, values(w.output()[0]))
	require.Equal(t, []string{"1", "1"}, values(w.output()[1]))
}

// requireAllHandled says that each message was handled, and, where once is set, in one partition only and once.
// wide is topicWide for a consumer, with batches so small that partitions meet each other's originals in the middle of them.
// TestScopeTopicConsumer: without a crash the handler gets each message once.
// TestScopeTopicConsumerCrashes: nothing is lost, whenever the process dies, and the disk with it.
// TestScopeTopicHandlerFirst: the handler has the original in its hands. The other partition hands over what lies before the copy, and
// waits there: the copy's offset is not committed before the original is handled.
