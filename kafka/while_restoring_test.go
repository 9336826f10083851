package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/internal/testutil"
)

// passing is a relay that does not wait for what it learns.
func passing(cfg *RelayConfig) { oneName(cfg); cfg.WhileRestoring = RestoringPass }

// holdLearning holds fetches below an offset back until release is called.
func (w *world) holdLearning(below int64) (release func()) {
	released := make(chan struct{})
	w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-released:
			return nil, nil, false
		default:
		}
		w.cluster.KeepControl()
		for _, topic := range req.(*kmsg.FetchRequest).Topics {
			for _, p := range topic.Partitions {
				if p.FetchOffset < below {
					w.cluster.SleepControl(func() { <-released })
				}
			}
		}
		return nil, nil, false
	})
	return sync.OnceFunc(func() { close(released) })
}

// passedOn says whether all that was fed is handled and committed, though nothing of what is missing was learned.
func (l *life) passedOn() bool {
	for _, a := range l.m.assignments() {
		g, fed := a.gauges(), l.w.fed[a.part]
		if !a.behind.Load() || g.state != StateRestoring || g.next <= fed[len(fed)-1].Offset || g.committed != g.next {
			return false
		}
	}
	return len(l.m.assignments()) == int(l.w.parts)
}

// knowsAll says whether every partition judges.
func (l *life) knowsAll() bool {
	as := l.m.assignments()
	return len(as) == int(l.w.parts) && !slices.ContainsFunc(as, func(a *assignment) bool { return !a.restored() || a.behind.Load() })
}

// slowly makes each question to the store take so long; begun is closed with the first.
func slowly(pause time.Duration) (h *hooks, begun chan struct{}) {
	begun = make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	return &hooks{check: func(int32) error {
		begin()
		time.Sleep(pause)
		return nil
	}}, begun
}

// TestPassWhileRestoring: records pass while the store learns, copies among them, and offsets are committed. When it knows all, also what passed meanwhile, no
// copy passes any more.
func TestPassWhileRestoring(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(60, 1)), 1, 6000)...)
	w.run(oneName)
	w.fs = testutil.NewFS()
	release := w.holdLearning(6000)
	defer release()
	w.feed(w.again(0)...)
	w.feed(rec(0, "new", "1"), rec(0, "new", "copy"))
	l := w.start(nil, passing)
	w.eventually("passed on", l.passedOn)
	stats := l.relay.Stats()
	passed := w.fed[0][6000:]
	require.True(t, stats.Partitions[0].Passing)
	require.False(t, stats.Ready())
	require.EqualValues(t, len(passed), stats.Totals.Unjudged)
	require.Zero(t, stats.Learned)
	release()
	w.eventually("caught up", l.knowsAll)
	w.feed(w.again(0)...)
	w.feed(rec(0, "newer", "1"))
	l.settle()
	stats = l.relay.Stats()
	require.False(t, stats.Partitions[0].Passing)
	require.True(t, stats.Ready())
	require.Equal(t, StateRunning, stats.Partitions[0].State)
	require.EqualValues(t, 6000+len(passed), stats.Learned)
	require.EqualValues(t, len(passed), stats.Totals.Unjudged)
	require.EqualValues(t, 1, stats.Totals.Unique)
	l.stop()
	want := slices.Concat(w.originals(0, 0)[:len(w.originals(0, 0))-2], passed, w.fed[0][len(w.fed[0])-1:])
	requireSame(t, 0, want, w.output()[0])

	w.feed(w.again(0)...)
	require.Zero(t, w.run(oneName).Learned, "once is enough")
	requireSame(t, 0, want, w.output()[0])
}

// TestPassWhileRestoringNothing: a store that knows all judges from the first record on.
func TestPassWhileRestoringNothing(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(61, 1)), 2, 3000)...)
	require.Zero(t, w.run(passing).Totals.Unjudged)
	w.feed(append(w.again(0), w.again(1)...)...)
	require.Zero(t, w.run(passing).Totals.Unjudged)
	w.requireClean()
}

// TestPassWhileRestoringUnderLoad: records flow all the time; the store catches up all the same, and from then on no copy passes. Each record of the input comes
// once at the most, in order, and no original is missing.
func TestPassWhileRestoringUnderLoad(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(62, 1)), 2, 40_000)...)
	w.run(oneName)
	w.fs = testutil.NewFS()
	l := w.start(nil, passing)
	rng := rand.New(rand.NewPCG(62, 2))
	for !l.knowsAll() {
		w.feed(history(rng, 2, 300)...) // of which most are copies of the 40,000
	}
	from := [2]int{len(w.fed[0]), len(w.fed[1])}
	w.feed(append(w.again(0), w.again(1)...)...)
	l.settle()
	require.Positive(t, l.relay.Stats().Learned)
	require.Positive(t, l.relay.Stats().Totals.Unjudged)
	l.stop()
	w.requireOnceInOrder(from[:])
}

// requireOnceInOrder says that the output holds each original once, in order, and of the copies none twice, and none from the positions of fed on.
func (w *world) requireOnceInOrder(from []int) {
	w.t.Helper()
	out := w.output()
	for part := range w.parts {
		there, last := map[int64]bool{}, int64(-1)
		for _, r := range out[part] {
			source, ok := sourceOf(sourcePrefix(testIn, part), r)
			require.True(w.t, ok)
			require.Greater(w.t, source, last, "partition %d: twice, or out of order", part)
			there[source], last = true, source
		}
		own := map[int64]bool{}
		for _, r := range w.originals(part, 0) {
			own[r.Offset] = true
			require.True(w.t, there[r.Offset], "partition %d: %s at %d is lost", part, r.Key, r.Offset)
		}
		for _, r := range w.fed[part][from[part]:] {
			require.Equal(w.t, own[r.Offset], there[r.Offset], "partition %d: %s at %d", part, r.Key, r.Offset)
		}
	}
}

// TestCrashWhilePassing: the disk is lost, records pass, and the process dies at each point where it can, again and again. Nothing is lost, repeated or out of order; and
// in the end the store knows all, whichever life passed it.
func TestCrashWhilePassing(t *testing.T) {
	deaths := 0
	defer func() { require.Greater(t, deaths, 20) }()
	for seed := range uint64(6) {
		for _, at := range crashPoints {
			t.Run(fmt.Sprintf("%s/%d", at, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(63, seed))
				w := newWorld(t, 1)
				w.edit = passing
				w.feed(history(rng, 1, closingGap+rng.IntN(6*chunkRecords))...)
				w.run(oneName)
				w.fs = testutil.NewFS()
				for try, died := 0, true; died && try < 4; try++ {
					w.feed(history(rng, 1, 500)...)
					if died = w.live(at, 1+rng.Int64N(4), rng.IntN(101), seed); died {
						deaths++
					}
				}
				w.edit = nil // records wait
				from := len(w.fed[0])
				w.feed(w.again(0)...)
				w.feed(rec(0, "the last", "x"))
				w.run(oneName)
				w.requireOnceInOrder([]int{from})
			})
		}
	}
}

// TestStopWhilePassing: what was passed on is finished and committed, and the next start learns what the store does not know, which is all of it.
func TestStopWhilePassing(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(64, 1)), 1, 3000)...)
	w.run(oneName)
	w.fs = testutil.NewFS()
	release := w.holdLearning(3000)
	defer release()
	w.feed(rec(0, "new", "1"))
	l := w.start(nil, passing)
	w.eventually("passed on", l.passedOn)
	l.stop()
	release()
	at, meta := w.committed(0)
	require.EqualValues(t, 3001, at)
	require.Contains(t, meta, "clean")
	w.feed(w.again(0)...)
	require.EqualValues(t, 3001, w.run(oneName).Learned)
	w.requireClean()
}

// TestBypassEndsLearning: the kill switch does not wait for what is learned, and the store is left alone. On the way back what was left out is counted.
func TestBypassEndsLearning(t *testing.T) {
	for _, while := range []WhileRestoring{RestoringBlock, RestoringPass} {
		t.Run(string(while), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(history(rand.New(rand.NewPCG(65, 1)), 1, 20*chunkRecords)...)
			w.run(oneName)
			w.fs = testutil.NewFS()
			w.feed(rec(0, "k000000", "copy"))
			hooks, begun := slowly(50 * time.Millisecond)
			var log bytes.Buffer
			l := w.start(hooks, func(cfg *RelayConfig) {
				oneName(cfg)
				cfg.WhileRestoring, cfg.Logger = while, slog.New(slog.NewTextHandler(&log, nil))
			})
			<-begun
			set(t, l, ModeBypass)
			l.settle()
			stats := l.relay.Stats()
			require.EqualValues(t, 1, stats.Totals.Unjudged)
			require.Less(t, stats.Learned, uint64(10*chunkRecords))
			require.Equal(t, StateRunning, stats.Partitions[0].State)
			require.Equal(t, Missing{None: 1}, stats.Missing)
			require.Equal(t, stats.Partitions[0].LearnTarget, stats.Partitions[0].LearnAt, "nothing is left to do")
			set(t, l, ModeActive)
			w.feed(rec(0, "new", "1"), rec(0, "new", "copy"))
			l.settle()
			require.Equal(t, Missing{None: 1}, l.relay.Stats().Missing, "once is enough")
			l.stop()
			require.Regexp(t, `back from bypass without having learned .* from=\d+ to=2048[01]`, log.String())
			want := append(w.originals(0, 0), &kgo.Record{})
			n := len(want)
			want[n-2], want[n-1] = w.fed[0][20*chunkRecords], want[n-2]
			requireSame(t, 0, want, w.output()[0])
		})
	}
}

// TestBypassEndsLearningIsAHole: what was left out in bypass is no part of what the changelog is told: who restores from it learns it from the input.
func TestBypassEndsLearningIsAHole(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(67, 1)), 1, 8*chunkRecords)...)
	w.run(withoutChangelog)
	w.fs = testutil.NewFS()
	hooks, begun := slowly(30 * time.Millisecond)
	l := w.start(hooks, nil)
	<-begun
	set(t, l, ModeBypass)
	w.eventually("left out", func() bool { return l.idle() })
	set(t, l, ModeActive) // before any record came
	w.feed(rec(0, "new", "1"))
	l.settle()
	require.Less(t, l.relay.Stats().Learned, uint64(8*chunkRecords))
	l.stop()
	w.fs = testutil.NewFS() // who comes next
	w.feed(w.again(0)...)
	w.run(nil)
	w.requireClean()
}

// TestRestartAfterBypassEndedLearning: a restart before the first verdict learns what was left out.
func TestRestartAfterBypassEndedLearning(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(68, 1)), 1, 8*chunkRecords)...)
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.feed(rec(0, "k000001", "copy"))
	hooks, begun := slowly(30 * time.Millisecond)
	l := w.start(hooks, passing)
	<-begun
	set(t, l, ModeBypass)
	l.settle()
	set(t, l, ModeActive)
	time.Sleep(20 * time.Millisecond) // some commits
	l.stop()
	passed := w.fed[0][8*chunkRecords:]
	w.feed(w.again(0)...)
	w.run(oneName)
	requireSame(t, 0, slices.Concat(w.originals(0, 0), passed), w.output()[0])
}

// TestPassWithoutKeys: what has no key passes while the store learns, whatever on_missing_key says.
func TestPassWithoutKeys(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	release := w.holdLearning(2)
	defer release()
	w.feed(&kgo.Record{Topic: testIn, Value: []byte("no key")})
	l := w.start(nil, func(cfg *RelayConfig) { passing(cfg); cfg.OnMissingKey = MissingFail })
	w.eventually("passed on", l.passedOn)
	release()
	w.eventually("caught up", l.knowsAll)
	l.stop()
	require.Len(t, w.output()[0], 3)
}

// TestClosingRefused: where brokers do not answer when the store is about to catch up, records go on, and it is tried again.
func TestClosingRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(69, 1)), 1, 3000)...) // less than closingGap: it closes at once
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.feed(rec(0, "new", "1"))
	w.refuseLearning(2900, kerr.NotLeaderForPartition.Code, 6*tailTries)
	l := w.start(nil, passing)
	w.eventually("passed on", l.passedOn)
	w.feed(rec(0, "newer", "1"))
	w.eventually("passed on once more", l.passedOn)
	w.eventually("caught up", l.knowsAll)
	w.feed(w.again(0)...)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestRetentionWhileLearning: what is removed while the store learns is counted, and the rest is learned.
func TestRetentionWhileLearning(t *testing.T) {
	const n, gone = 30_000, 25_000 // more than one fetch
	w := newWorld(t, 1)
	rng := rand.NewChaCha8([32]byte{70})
	var records []*kgo.Record
	for i := range n {
		value := make([]byte, 400) // that does not compress
		_, _ = rng.Read(value)
		records = append(records, rec(0, fmt.Sprint("k", i), string(value)))
	}
	for piece := range slices.Chunk(records, 1000) {
		w.feed(piece...)
	}
	w.run(oneName)
	w.fs = testutil.NewFS()
	remove := sync.OnceValue(func() error { return w.cluster.DeleteRecords(testIn, 0, gone) })
	l := w.start(&hooks{check: func(int32) error { return remove() }}, oneName)
	l.settle()
	stats := l.relay.Stats()
	require.Equal(t, Missing{None: 1, Retention: 1}, stats.Missing)
	require.Greater(t, stats.Learned, uint64(n-gone))
	require.Less(t, stats.Learned, uint64(gone))
	w.feed(rec(0, fmt.Sprint("k", gone), "copy"), rec(0, "new", "1"))
	l.settle()
	require.EqualValues(t, 1, l.relay.Stats().Totals.Unique)
	l.stop()
}

// TestConsumerPassesWhileRestoring: the handler gets what it would wait for, once; a stop meanwhile is a clean one, and who comes next learns.
func TestConsumerPassesWhileRestoring(t *testing.T) {
	w := newWorld(t, 1)
	edit := func(while WhileRestoring) func(*ConsumerConfig) {
		return func(cfg *ConsumerConfig) { cfg.InstanceID, cfg.WhileRestoring = "one", while }
	}
	w.feed(history(rand.New(rand.NewPCG(66, 1)), 1, 3000)...)
	b := newBook()
	l := w.consume(b.handle, edit(RestoringBlock))
	l.settle()
	l.stop()
	w.fs = testutil.NewFS()
	release := w.holdLearning(3000)
	defer release()
	w.feed(w.again(0)...)
	w.feed(rec(0, "new", "1"), rec(0, "new", "copy"))
	passed := w.fed[0][3000:]
	want := append(offsets(w.originals(0, 0)[:len(w.originals(0, 0))-1]), offsets(passed)...)
	l = w.consume(b.handle, edit(RestoringPass))
	w.eventually("passed on", l.passedOn)
	require.EqualValues(t, len(passed), l.c.Stats().Totals.Unjudged)
	require.True(t, l.c.Stats().Partitions[0].Passing)
	l.stop()
	require.Equal(t, want, b.of(0))

	l = w.consume(b.handle, edit(RestoringPass))
	release()
	w.eventually("caught up", l.knowsAll)
	w.feed(w.again(0)...)
	w.feed(rec(0, "newer", "1"))
	l.settle()
	l.stop()
	require.Equal(t, append(want, w.fed[0][len(w.fed[0])-1].Offset), b.of(0))
	require.Empty(t, b.unaware)
}

// TestWhileRestoringConfig: what does not go together with pass is refused, in words.
func TestWhileRestoringConfig(t *testing.T) {
	w := newWorld(t, 1)
	for says, edit := range map[string]func(*RelayConfig){
		`while_restoring "wait" is none of block, pass`: func(cfg *RelayConfig) { cfg.WhileRestoring = "wait" },
		"does not go together with learn off":           func(cfg *RelayConfig) { cfg.Learn = LearnOff },
		"does not go together with a changelog":         func(cfg *RelayConfig) { cfg.ChangelogTopic = testLog },
		"does not go together with scope topic":         func(cfg *RelayConfig) { cfg.Scope = ScopeTopic },
		"does not go together with fencing":             func(cfg *RelayConfig) { cfg.Fencing = FencingTransactional },
	} {
		cfg := w.config(&network{})
		passing(&cfg)
		edit(&cfg)
		require.ErrorContains(t, cfg.Validate(), says)
	}
	cfg := w.config(&network{})
	passing(&cfg)
	require.NoError(t, cfg.Validate())
	c := w.consumerConfig(&network{}, newBook().handle)
	c.WhileRestoring, c.OnError = RestoringPass, OnErrorSkip
	c.ensureDefaults()
	m := c.member()
	m.ensureDefaults("x")
	require.ErrorContains(t, c.validate(&m), "while_restoring pass takes on_error stop")
}
