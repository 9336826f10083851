package kafka

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func tagging(c *RelayConfig) { c.OnDuplicate = DuplicateTag }

func toTopic(c *RelayConfig) { c.OnDuplicate, c.DuplicatesTopic = DuplicateTopic, testDup }

// withDuplicates is a world with a topic for them.
func withDuplicates(t tb, parts int32) *world {
	t.Helper()
	w := newWorld(t, parts, kfake.SeedTopics(parts, testDup))
	w.edit = toTopic
	return w
}

// producesTo tells produce requests to a topic, which newer ones name by its id.
func (w *world) producesTo(topic string) func(kmsg.Request) bool {
	w.t.Helper()
	topics, err := w.adm.ListTopics(tContext(w.t), topic)
	require.NoError(w.t, err)
	id := [16]byte(topics[topic].ID)
	return func(req kmsg.Request) bool {
		for _, t := range req.(*kmsg.ProduceRequest).Topics {
			if t.Topic == topic || t.Topic == "" && t.TopicID == id {
				return true
			}
		}
		return false
	}
}

// original is what a copy must say of itself.
type original struct {
	copied *kgo.Record
	first  int64
	age    int64
}

// copies returns what was fed to a partition and is a copy, by offset.
func (w *world) copies(part int32) (list []original) {
	owner := map[string]*kgo.Record{}
	for _, r := range w.fed[part] {
		if o := owner[string(r.Key)]; o != nil {
			list = append(list, original{r, o.Offset, r.Timestamp.UnixMilli() - o.Timestamp.UnixMilli()})
		} else {
			owner[string(r.Key)] = r
		}
	}
	return list
}

func (o *original) require(t tb, r *kgo.Record) {
	t.Helper()
	require.Equal(t, string(o.copied.Value), string(r.Value))
	got := evidenceOf(r)
	if _, exact := got[ageHeader]; exact { // a restart forgets the timestamps, and then the bucket has to do
		require.Equal(t, strconv.FormatInt(o.age, 10), got[ageHeader])
		delete(got, ageHeader)
	} else if least, ok := got[leastAgeHeader]; ok {
		n, err := strconv.ParseInt(least, 10, 64)
		require.NoError(t, err)
		require.LessOrEqual(t, n, o.age)
		delete(got, leastAgeHeader)
	}
	require.Equal(t, map[string]string{verdictHeader: "duplicate", originalHeader: strconv.FormatInt(o.first, 10)}, got)
}

// requireTagged says that the output is the input, in order, and that the copies in it carry their evidence, and they alone.
func (w *world) requireTagged() {
	w.t.Helper()
	out := w.output()
	for part := range w.parts {
		requireSame(w.t, part, w.fed[part], out[part])
		copies := w.copies(part)
		for i, r := range out[part] {
			if len(copies) > 0 && copies[0].copied == w.fed[part][i] {
				copies[0].require(w.t, r)
				copies = copies[1:]
				continue
			}
			require.Empty(w.t, evidenceOf(r))
		}
		require.Empty(w.t, copies)
	}
}

// requireDuplicates says that the topic of duplicates holds every copy that was fed, with evidence, in order but for
// repetitions; without repeated, no repetition either.
func (w *world) requireDuplicates(repeated bool) {
	w.t.Helper()
	got := w.read(testDup)
	for part := range w.parts {
		seen := map[int64]bool{}
		copies := w.copies(part)
		for _, r := range got[part] {
			source, ok := sourceOf(sourcePrefix(testIn, part), r)
			require.True(w.t, ok)
			if seen[source] {
				require.True(w.t, repeated, "%d/%d is there twice", part, source)
				continue
			}
			seen[source] = true
			require.NotEmpty(w.t, copies)
			require.Equal(w.t, copies[0].copied.Offset, source, "partition %d", part)
			copies[0].require(w.t, r)
			copies = copies[1:]
		}
		require.Empty(w.t, copies, "partition %d", part)
	}
}

func TestTag(t *testing.T) {
	w := newWorld(t, 3)
	w.edit = tagging
	rng := rand.New(rand.NewPCG(21, 1))
	w.feed(history(rng, 3, 2000)...)
	l := w.start(nil, nil)
	w.feed(history(rng, 3, 2000)...)
	l.settle()
	totals := l.relay.Stats().Totals
	l.stop()
	w.requireTagged()
	require.EqualValues(t, 4000, totals.Produced)
	require.Positive(t, totals.Duplicate)
	require.Equal(t, totals.Duplicate, totals.Tagged)
	require.Zero(t, totals.DuplicatesProduced)
}

func TestDuplicatesTopic(t *testing.T) {
	w := withDuplicates(t, 3)
	rng := rand.New(rand.NewPCG(22, 1))
	w.feed(history(rng, 3, 2000)...)
	l := w.start(nil, nil)
	w.feed(history(rng, 3, 2000)...)
	l.settle()
	totals := l.relay.Stats().Totals
	l.stop()
	w.requireClean()
	w.requireDuplicates(false)
	require.EqualValues(t, 4000, totals.Produced+totals.DuplicatesProduced)
	require.Equal(t, totals.Duplicate, totals.DuplicatesProduced)
	require.Zero(t, totals.Tagged)
	for part := range w.parts {
		at, meta := w.committed(part)
		require.Equal(t, metadata{at: at, out: int64(len(w.output()[part])), clean: true}.String(), meta)
	}
}

// TestCrashWithDuplicates: as TestCrashAtEveryStep. The output keeps its rule whatever becomes of the duplicates, and none of
// these is missing afterwards.
func TestCrashWithDuplicates(t *testing.T) {
	for _, at := range append([]crashPoint{evidenceUnheard, evidenceUnacked}, crashPoints...) {
		for _, percent := range []int{0, 100} {
			t.Run(fmt.Sprintf("topic/%s/unsynced=%d", at, percent), func(t *testing.T) {
				w := withDuplicates(t, 2)
				w.dieAndLive(at, percent)
				w.requireClean()
				w.requireDuplicates(true)
			})
			if at == evidenceUnheard || at == evidenceUnacked {
				continue
			}
			t.Run(fmt.Sprintf("tag/%s/unsynced=%d", at, percent), func(t *testing.T) {
				w := newWorld(t, 2)
				w.edit = tagging
				w.dieAndLive(at, percent)
				w.requireTagged()
			})
		}
	}
}

func (w *world) dieAndLive(at crashPoint, percent int) {
	w.t.Helper()
	rng := rand.New(rand.NewPCG(8, uint64(percent)))
	deaths := 0
	for n := int64(1); n <= 5; n++ {
		w.feed(history(rng, 2, 300)...)
		if w.live(at, n, percent, uint64(n)) {
			deaths++
		}
	}
	require.Positive(w.t, deaths, "the trap never sprang")
	l := w.start(nil, nil)
	l.settle()
	l.stop()
}

// TestCrashesWithDuplicatesAtRandom: many lives, each dying somewhere.
func TestCrashesWithDuplicatesAtRandom(t *testing.T) {
	points := append([]crashPoint{evidenceUnheard, evidenceUnacked}, crashPoints...)
	rapid.Check(t, func(rt *rapid.T) {
		w := withDuplicates(rt, 2)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 4))
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			w.feed(history(rng, 2, rng.IntN(400))...)
			w.live(rapid.SampledFrom(points).Draw(rt, "point"), rapid.Int64Range(1, 12).Draw(rt, "n"),
				rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"), rng.Uint64())
		}
		l := w.start(nil, nil)
		l.settle()
		l.stop()
		w.requireClean()
		w.requireDuplicates(true)
	})
}

// blocked makes the duplicates' topic refuse what is sent, for a cause that passes, until the fault is removed.
func (w *world) blocked() *kfake.FaultHandle {
	return w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testDup, Err: kerr.NotEnoughReplicas, Count: -1})
}

// TestOutputGoesOnWithoutTheDuplicatesTopic: one duplicate waits for its topic while the output goes on far beyond it. No
// offset is committed past it, and the life after a crash at that moment finds in the output what is there.
func TestOutputGoesOnWithoutTheDuplicatesTopic(t *testing.T) {
	w := withDuplicates(t, 1)
	block := w.blocked()
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"), rec(0, "a", "3"))
	l := w.start(nil, nil)
	for i := range 20 {
		for j := range 50 {
			w.feed(rec(0, fmt.Sprintf("k%d-%d", i, j), "v"))
		}
		w.eventually("the output has it", func() bool { return l.relay.Stats().Totals.Produced == uint64(2+(i+1)*50) })
	}
	commits := l.relay.Stats().Commits
	w.eventually("the first two are committed", func() bool { return l.relay.Stats().Partitions[0].Committed == 2 })
	w.feed(rec(0, "last", "v"))
	w.eventually("another commit would have come", func() bool {
		s := l.relay.Stats()
		return s.Totals.Produced == 2+1000+1 && s.Partitions[0].Next == 2 && s.Commits >= commits
	})
	at, meta := w.committed(0)
	require.EqualValues(t, 2, at)
	m, ok := parseMetadata(meta, at)
	require.True(t, ok)
	require.LessOrEqual(t, m.out, int64(2), "what is beyond offset 2 begins there")
	l.die(100, 1)
	l.bury()
	block.Remove()
	l = w.start(nil, nil)
	l.settle()
	require.EqualValues(t, 1001, l.relay.Stats().Totals.AlreadyThere)
	l.stop()
	w.requireClean()
	w.requireDuplicates(true)
}

// TestBackPressureOfTheDuplicatesTopic: when it takes nothing and there are many, the relay stops reading, with bounded
// memory; when it is back, all of them arrive.
func TestBackPressureOfTheDuplicatesTopic(t *testing.T) {
	w := withDuplicates(t, 1)
	block := w.blocked()
	edit := func(c *RelayConfig) { c.QueueBytes, c.FetchPartitionBytes = 64<<10, 16<<10 }
	var records []*kgo.Record
	for i := range 8000 {
		records = append(records, rec(0, fmt.Sprintf("k%d", i/2), "some value that takes room in a batch of four kilobytes"))
	}
	w.feed(records...)
	l := w.start(nil, edit)
	w.eventually("the partition is paused", func() bool {
		s := l.relay.Stats()
		return len(s.Partitions) == 1 && s.Partitions[0].Paused
	})
	l.relay.mu.Lock()
	worker := l.relay.mu.assigned[0].task.(*worker)
	l.relay.mu.Unlock()
	w.eventually("the output waits for nothing that it could have", func() bool {
		worker.mu.Lock()
		defer worker.mu.Unlock()
		return len(worker.dups.pending) == maxPending && len(worker.pending) == 0 && worker.open < 0
	})
	require.EqualValues(t, 1, l.relay.Stats().Partitions[0].Next)
	block.Remove()
	l.settle()
	l.stop()
	w.requireClean()
	w.requireDuplicates(false)
}

// TestDuplicatesRefused: what their topic refuses for its size is sent in parts; what it refuses for good stops the relay,
// which names the topic, and nothing is missing after the next start.
func TestDuplicatesRefused(t *testing.T) {
	t.Run("too large", func(t *testing.T) {
		w := withDuplicates(t, 1)
		w.feed(history(rand.New(rand.NewPCG(23, 1)), 1, 3000)...)
		var refused atomic.Int64
		w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testDup, Err: kerr.MessageTooLarge, Count: -1,
			When: func(req kmsg.Request) bool {
				if len(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records) <= 700 {
					return false
				}
				refused.Add(1)
				return true
			}})
		l := w.start(nil, nil)
		l.settle()
		l.stop()
		require.Positive(t, refused.Load())
		w.requireClean()
		w.requireDuplicates(false)
	})
	t.Run("for good", func(t *testing.T) {
		w := withDuplicates(t, 1)
		w.feed(history(rand.New(rand.NewPCG(23, 2)), 1, 1000)...)
		h := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testDup, Err: kerr.TopicAuthorizationFailed, Count: 1})
		l := w.start(nil, nil)
		<-l.done
		var refused *ProduceError
		require.ErrorAs(t, l.err, &refused)
		require.Equal(t, testDup, refused.Topic)
		require.Equal(t, 1, h.Hits())
		require.NoError(t, l.e.Close())
		l = w.start(nil, nil)
		l.settle()
		l.stop()
		w.requireClean()
		w.requireDuplicates(true)
	})
}

// TestChoiceChanges: from one start to the next, with crashes between, records stay in order and none is in the output twice.
func TestChoiceChanges(t *testing.T) {
	w := withDuplicates(t, 1)
	rng := rand.New(rand.NewPCG(24, 1))
	for n := range int64(9) {
		w.edit = []func(*RelayConfig){toTopic, tagging, func(*RelayConfig) {}}[n%3]
		w.feed(history(rng, 1, 300)...)
		w.live(crashPoints[rng.IntN(len(crashPoints))], 1+n, 50, uint64(n))
	}
	w.edit = nil
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireOriginals()
}

// requireOriginals says that the output ascends by source, that nothing is in it twice, and that what it lacks are copies.
func (w *world) requireOriginals() {
	w.t.Helper()
	out := w.output()
	for part := range w.parts {
		have := map[int64]bool{}
		last := int64(-1)
		for _, r := range out[part] {
			source, ok := sourceOf(sourcePrefix(testIn, part), r)
			require.True(w.t, ok)
			require.Greater(w.t, source, last, "partition %d", part)
			last, have[source] = source, true
		}
		seen := map[string]bool{}
		for _, r := range w.fed[part] {
			require.True(w.t, have[r.Offset] || seen[string(r.Key)], "%d/%d is lost", part, r.Offset)
			seen[string(r.Key)] = true
		}
	}
}

// TestDuplicatesTopicLacksAPartition: where Preflight was not asked, the start says it.
func TestDuplicatesTopicLacksAPartition(t *testing.T) {
	w := newWorld(t, 2, kfake.SeedTopics(1, testDup))
	w.edit = toTopic
	l := w.start(nil, nil)
	<-l.done
	var bad *TopicError
	require.ErrorAs(t, l.err, &bad)
	require.Equal(t, testDup, bad.Topic)
	require.ErrorContains(t, l.err, "it has no partition 1")
}
