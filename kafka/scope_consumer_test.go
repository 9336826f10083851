package kafka

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/internal/testutil"
)

func TestScopeTopicStopWhileWaiting(t *testing.T) {
	w, b := newWorld(t, 2), newBook()
	named := func(cfg *ConsumerConfig) { wide(cfg); cfg.BatchRecords = 1; cfg.Key, _ = ParseKey("key") }
	l := w.consume(b.handle, func(cfg *ConsumerConfig) { named(cfg); cfg.CommitInterval = patience })
	w.feed(rec(0, "x", "1"), rec(0, "a", "1"))
	w.eventually("the originals", l.idle)
	w.feed(rec(1, "b", "1"), rec(1, "a", "2"))
	w.eventually("the copy", l.idle)
	for _, a := range l.m.assignments() {
		require.NoError(t, a.state.Commit(t.Context(), -1)) // marks survive, and nothing is known as done
	}
	l.die(100, 1)
	l.bury()

	entered, goOn := make(chan struct{}), make(chan struct{})
	l = w.consume(func(ctx context.Context, batch Batch) error {
		if batch.Partition == 0 {
			close(entered)
			<-goOn
		}
		return b.handle(ctx, batch)
	}, func(cfg *ConsumerConfig) { named(cfg); cfg.RebalanceTimeout = time.Hour })
	<-entered // with x; a is behind it
	w.eventually("b again", func() bool { return len(b.of(1)) == 2 })
	l.cancel()
	w.eventually("a stop", func() bool {
		l.m.mu.Lock()
		defer l.m.mu.Unlock()
		return l.m.mu.stopping
	})
	close(goOn)
	select {
	case <-l.done:
	case <-time.After(patience):
		require.Fail(t, "it waits for what will not come")
	}
	require.NoError(t, l.err)
	require.NoError(t, l.e.Close())
	at, _ := w.committed(1)
	require.EqualValues(t, 1, at, "the copy is not done before its original")
	l = w.consume(b.handle, named)
	l.settle()
	l.stop()
	require.Equal(t, []int64{0, 1}, b.set(0))
	require.Equal(t, []int64{0}, b.set(1))
}

func (w *world) requireAllHandled(b *book, once bool) {
	w.t.Helper()
	counts := make(map[string]int)
	for _, records := range w.fed {
		for _, r := range records {
			counts[string(r.Value)] = 0
		}
	}
	for part := range w.parts {
		for _, o := range b.of(part) {
			counts[string(w.fed[part][o].Value)]++
		}
	}
	for value, n := range counts {
		require.Positive(w.t, n, "%s was never handled", value)
		require.True(w.t, !once || n == 1, "%s was handled %d times", value, n)
	}
}

func wide(cfg *ConsumerConfig) {
	cfg.Scope, cfg.InstanceID, cfg.BatchRecords = ScopeTopic, "one", 16
	cfg.Key, _ = ParseKey("header:id")
}

func TestScopeTopicConsumer(t *testing.T) {
	w, b := newWorld(t, 3), newBook()
	rng := rand.New(rand.NewPCG(55, 1))
	for i := range 2 {
		w.feed(spread(rng, 3, i*2000, 3000)...)
		l := w.consume(b.handle, wide)
		l.settle()
		l.stop()
		w.requireAllHandled(b, true)
	}
}

func TestScopeTopicConsumerCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, b := newWorld(rt, 3), newBook()
		w.editConsumer = wide
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 4))
		for life := range rapid.IntRange(1, 6).Draw(rt, "lives") {
			w.feed(spread(rng, 3, life*300, rng.IntN(400))...)
			w.liveConsumer(b, rapid.SampledFrom(consumerCrashPoints).Draw(rt, "point"), rapid.Int64Range(1, 12).Draw(rt, "n"),
				rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"), rng.Uint64())
			if rapid.IntRange(0, 2).Draw(rt, "disk") == 0 {
				w.fs = testutil.NewFS()
			}
		}
		w.liveConsumer(b, "", 0, 0, 0)
		w.requireAllHandled(b, false)
	})
}

func TestScopeTopicHandlerFirst(t *testing.T) {
	w, b := newWorld(t, 2), newBook()
	entered, goOn := make(chan struct{}), make(chan struct{})
	l := w.consume(func(ctx context.Context, batch Batch) error {
		if batch.Partition == 0 {
			close(entered)
			<-goOn
		}
		return b.handle(ctx, batch)
	}, func(cfg *ConsumerConfig) { wide(cfg); cfg.Key, _ = ParseKey("key") })
	w.feed(rec(0, "a", "1"))
	<-entered
	w.feed(rec(1, "b", "1"), rec(1, "a", "2"), rec(1, "c", "1"))
	w.eventually("what lies before the copy", func() bool { return len(b.of(1)) > 0 })
	require.Equal(t, []int64{0}, b.of(1))
	at, _ := w.committed(1)
	require.LessOrEqual(t, at, int64(1))
	close(goOn)
	l.settle()
	l.stop()
	require.Equal(t, []int64{0}, b.of(0))
	require.Equal(t, []int64{0, 2}, b.of(1))
}
