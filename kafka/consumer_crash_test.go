package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"noecho/internal/testutil"
)

// inHandler is a crash after the handler's work and before anybody knows of it.
const inHandler crashPoint = "in the handler"

var consumerCrashPoints = []crashPoint{
	beforeCheck, inHandler, beforeMarks, afterMarks, commitUnheard, commitUnacked, onClaimUnheard, onClaimUnanswered,
}

// liveConsumer is live, for a consumer. Within a life the handler gets each record once, in order, but for heirs.
func (w *world) liveConsumer(b *book, at crashPoint, n int64, percent int, seed uint64) (died bool) {
	w.t.Helper()
	h, arm := w.trap(at, n, percent, seed)
	var l *life
	calls := int64(0)
	l = w.prepareConsumer(h, func(ctx context.Context, batch Batch) error {
		select {
		case <-l.dead:
			return ctx.Err() // what a dead process does is nobody's business
		default:
		}
		err := b.handle(ctx, batch)
		if calls++; at == inHandler && calls == n {
			l.die(percent, seed)
		}
		return err
	}, func(cfg *ConsumerConfig) { skipping(cfg); cfg.Concurrency = 1; cfg.BatchRecords = 16 })
	arm(l)
	l.start()
	defer arm(nil)
	ended := func() bool {
		select {
		case <-l.dead:
			return true
		case <-l.done:
			return true
		default:
			return false
		}
	}
	w.eventually("handled or dead", func() bool { return ended() || l.idle() })
	if !ended() {
		l.cancel() // the drain's commits may still spring the trap
		<-l.done
	}
	select {
	case <-l.dead:
		l.bury2()
		return true
	default:
	}
	require.NoError(w.t, l.err)
	require.NoError(w.t, l.e.Close())
	return false
}

// bury2 waits for a life that died, whether Run has noticed or had ended by itself.
func (l *life) bury2() {
	l.w.t.Helper()
	l.w.eventually("the end of Run", func() bool {
		select {
		case <-l.done:
			return true
		default:
			return false
		}
	})
	_ = l.e.Close()
}

// expel removes the static members of the group, as an operator does who will not wait for the session.
func (w *world) expel() {
	w.t.Helper()
	info := w.cluster.GroupInfo(testGroup)
	if info == nil {
		return
	}
	for _, m := range info.Members {
		if m.InstanceID != nil {
			_, err := w.adm.LeaveGroup(context.Background(), kadm.LeaveGroup(testGroup).Reason("rewind").InstanceIDs(*m.InstanceID))
			require.NoError(w.t, err)
		}
	}
}

// requireHandled: of each key the first record that does not fail was handled, at least once, and no other; what came again was called so.
func (w *world) requireHandled(b *book) {
	w.t.Helper()
	require.Empty(w.t, b.unaware)
	for part := range w.parts {
		require.Equal(w.t, w.firstGood(part, b), b.set(part), "partition %d", part)
	}
}

// TestConsumerCrashAtEveryStep: whatever the moment, nothing is lost, and no copy is handled.
func TestConsumerCrashAtEveryStep(t *testing.T) {
	for _, at := range consumerCrashPoints {
		for _, percent := range []int{0, 50, 100} {
			t.Run(fmt.Sprintf("%s/unsynced=%d", at, percent), func(t *testing.T) {
				w, b := newWorld(t, 2), newBook()
				rng := rand.New(rand.NewPCG(41, uint64(percent)))
				deaths := 0
				for n := int64(1); n <= 6; n++ {
					w.feed(history(rng, 2, 300)...)
					if w.liveConsumer(b, at, n, percent, uint64(n)) {
						deaths++
					}
				}
				require.Positive(t, deaths, "the trap never sprang")
				w.liveConsumer(b, "", 0, 0, 0)
				w.requireHandled(b)
			})
		}
	}
}

// TestConsumerCrashesAtRandom: many lives, each dying somewhere, with records that fail for good, records fed in between, and
// an operator who rewinds.
func TestConsumerCrashesAtRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, b := newWorld(rt, 2), newBook()
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
		skips := rapid.Bool().Draw(rt, "skips")
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			var fresh = history(rng, 2, rng.IntN(300))
			for i, r := range fresh {
				r.Value = fmt.Appendf(nil, "%d-%d", rng.Uint64(), i) // each fails or not by itself
				if skips && rng.IntN(4) == 0 {
					b.bad[string(r.Value)] = true
				}
			}
			w.feed(fresh...)
			w.liveConsumer(b, rapid.SampledFrom(consumerCrashPoints).Draw(rt, "point"), rapid.Int64Range(1, 12).Draw(rt, "n"),
				rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"), rng.Uint64())
			if part := rng.Int32N(2); len(w.fed[part]) > 0 && rapid.IntRange(0, 3).Draw(rt, "rewind") == 0 {
				if at, _ := w.committed(part); at > 0 {
					w.expel()
					w.vacate()
					w.reset(part, rng.Int64N(at+1))
				}
			}
		}
		w.liveConsumer(b, "", 0, 0, 0)
		w.requireHandled(b)
	})
}

// TestRedeliveredAfterACrash: what a handler may have seen before a crash is called so, also where the crash took the mark. What came in
// later is not, and nothing is after an orderly stop.
func TestRedeliveredAfterACrash(t *testing.T) {
	w := newWorld(t, 1)
	var l *life
	var seen []string
	note := func(_ context.Context, batch Batch) error {
		for i, r := range batch.Records {
			seen = append(seen, fmt.Sprintf("%s:%v", r.Value, batch.Redelivered(i)))
		}
		return nil
	}
	w.feed(rec(0, "a", "a"), rec(0, "b", "b"))
	l = w.prepareConsumer(nil, func(ctx context.Context, batch Batch) error {
		defer l.die(0, 1) // done, and not marked
		return note(ctx, batch)
	}, nil)
	l.start()
	<-l.dead
	l.bury2()
	require.Equal(t, "a:false", seen[0])

	seen = nil
	w.feed(&kgo.Record{Value: []byte("no key")}, rec(0, "a", "copy"))
	l = w.consume(note, nil)
	l.settle()
	w.feed(rec(0, "c", "c"))
	l.settle()
	l.stop()
	require.Equal(t, []string{"a:true", "b:true", "no key:true", "c:false"}, seen)

	seen = nil
	w.feed(rec(0, "d", "d"))
	l = w.consume(note, nil)
	l.settle()
	l.stop()
	require.Equal(t, []string{"d:false"}, seen)
}

// TestRedeliveredBehindAHeldOffset: in a rewind a record that is given up holds the offset. An orderly stop then leaves behind it what was
// handled, and the next life must know, also when it has another disk.
func TestRedeliveredBehindAHeldOffset(t *testing.T) {
	w, b := newWorld(t, 1), newBook()
	for i := range 10 {
		w.feed(rec(0, fmt.Sprint(i), fmt.Sprint(i)))
	}
	edit := func(cfg *ConsumerConfig) { skipping(cfg); briefly(cfg); cfg.BatchRecords = 2 }
	l := w.consume(newBook().handle, edit)
	l.settle()
	l.stop()
	w.vacate()
	w.reset(0, 0)
	b.bad["0"] = true
	entered, let := make(chan struct{}), make(chan struct{})
	l = w.consume(func(ctx context.Context, batch Batch) error {
		if batch.Records[0].Offset == 4 {
			close(entered)
			<-let
		}
		return b.handle(ctx, batch)
	}, edit)
	<-entered
	l.cancel()
	w.eventually("draining", func() bool { return l.c.Stats().Partitions[0].State == StateDraining })
	close(let)
	l.stop()
	at, meta := w.committed(0)
	require.Zero(t, at)
	require.NotContains(t, meta, "clean")
	require.Equal(t, []int64{1, 2, 3, 4, 5}, b.of(0))
	w.vacate()
	w.fs = testutil.NewFS()
	l = w.consume(b.handle, edit)
	l.settle()
	l.stop()
	require.Equal(t, []int64{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9}, b.of(0))
	require.Empty(t, b.unaware)
}
