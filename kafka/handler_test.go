package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestHandlerRetries: what failed is called again, with a count; what is named as failed alone.
func TestHandlerRetries(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"), rec(0, "c", "3"))
	var calls [][]string
	l := w.consume(func(_ context.Context, batch Batch) error {
		call := []string{fmt.Sprint(batch.Attempt)}
		for _, r := range batch.Records {
			call = append(call, string(r.Key))
		}
		calls = append(calls, call)
		switch batch.Attempt {
		case 1:
			return errBad
		case 2:
			return fmt.Errorf("wrapped: %w", &RecordErrors{Failed: []RecordError{{2, errBad}, {0, errBad}}})
		case 3:
			return &RecordErrors{Failed: []RecordError{{7, errBad}}} // there is no such record
		}
		return nil
	}, func(cfg *ConsumerConfig) { cfg.Retry.Attempts = -1 })
	l.settle()
	s := l.c.Stats().Totals
	l.stop()
	require.Equal(t, [][]string{{"1", "a", "b", "c"}, {"2", "a", "b", "c"}, {"3", "a", "c"}, {"4", "a", "c"}}, calls)
	require.EqualValues(t, 3, s.Handled)
	require.EqualValues(t, 4, s.Calls)
	require.EqualValues(t, 3, s.Retries)
}

// TestHandlerStops: the error names what was not done, nothing of it is committed, and the next life gets it again.
func TestHandlerStops(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"), rec(0, "c", "bad"), rec(0, "c", "copy"))
	b := newBook()
	b.bad["bad"] = true
	l := w.consume(b.handle, nil)
	<-l.done
	_ = l.e.Close()
	var failed *HandlerError
	require.ErrorAs(t, l.err, &failed)
	require.Equal(t, HandlerError{Topic: testIn, Partition: 0, First: 2, Last: 2, Records: 1, Attempts: 2, Err: failed.Err}, *failed)
	require.ErrorIs(t, l.err, errBad)
	at, _ := w.committed(0)
	require.LessOrEqual(t, at, int64(2))

	b = newBook()
	l = w.consume(b.handle, nil)
	l.settle()
	l.stop()
	require.Equal(t, []int64{0, 1, 2}, b.of(0))
}

// TestHandlerPanics: a panic is not swallowed and not tried again, and a goroutine that ends itself is noticed.
func TestHandlerPanics(t *testing.T) {
	for name, end := range map[string]func(){
		"panic": func() { panic("out of order") }, "error": func() { panic(errBad) }, "nil": func() { panic(nil) }, //nolint:govet // on purpose
		"exit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(rec(0, "a", "1"))
			var calls atomic.Int64
			l := w.consume(func(context.Context, Batch) error {
				calls.Add(1)
				end()
				return nil
			}, func(cfg *ConsumerConfig) { cfg.OnError = OnErrorSkip })
			<-l.done
			var failed *HandlerError
			require.ErrorAs(t, l.err, &failed)
			require.EqualValues(t, 1, calls.Load())
			at, _ := w.committed(0)
			require.LessOrEqual(t, at, int64(0))
			var panicked *PanicError
			if name == "exit" {
				require.ErrorIs(t, l.err, errExited)
				return
			}
			require.ErrorAs(t, l.err, &panicked)
			require.Contains(t, string(panicked.Stack), "TestHandlerPanics")
			require.Equal(t, name == "error", errors.Is(l.err, errBad))
		})
	}
}

// TestStopBetweenTries: a stop does not wait for the next try; the batch is not committed.
func TestStopBetweenTries(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	var calls atomic.Int64
	l := w.consume(func(context.Context, Batch) error { calls.Add(1); return errBad },
		func(cfg *ConsumerConfig) { cfg.Retry = Retry{MinBackoff: time.Hour, MaxBackoff: time.Hour} })
	w.eventually("a call", func() bool { return calls.Load() == 1 })
	l.stop()
	require.EqualValues(t, 1, calls.Load())
	at, meta := w.committed(0)
	require.LessOrEqual(t, at, int64(0))
	require.NotContains(t, meta, "clean")
}

// firstGood is what must be handled of a partition: of each key the first record that does not fail.
func (w *world) firstGood(part int32, b *book) (out []int64) {
	seen := make(map[string]bool)
	for _, r := range w.fed[part] {
		if key := string(r.Key); !seen[key] && !b.bad[string(r.Value)] {
			seen[key] = true
			out = append(out, r.Offset)
		}
	}
	return out
}

func skipping(cfg *ConsumerConfig) {
	cfg.OnError, cfg.SessionTimeout = OnErrorSkip, 300*time.Millisecond
}

// TestSkip: the copy behind a record that is given up takes its place, wherever it lies: in the same chunk, fed later, or
// behind another copy that fails too. The ones behind that copy are dropped.
func TestSkip(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "bad"), rec(0, "b", "ok"), rec(0, "a", "bad"), rec(0, "a", "heir"), rec(0, "a", "late"), rec(0, "c", "bad"))
	b := newBook()
	b.bad["bad"] = true
	l := w.consume(b.handle, skipping)
	l.settle()
	require.Equal(t, []int64{1, 3}, b.of(0))
	w.feed(rec(0, "c", "heir"), rec(0, "c", "late"), rec(0, "a", "late"))
	l.settle()
	s := l.c.Stats().Totals
	l.stop()
	require.Equal(t, []int64{1, 3, 6}, b.of(0))
	require.EqualValues(t, 3, s.Skipped)
	require.EqualValues(t, 3, s.Handled)
	require.EqualValues(t, 3, s.Duplicate)
}

// TestSkipWholeBatch: a handler that names nothing gives up all of the batch.
func TestSkipWholeBatch(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"))
	var mended atomic.Bool
	b := newBook()
	l := w.consume(func(ctx context.Context, batch Batch) error {
		if !mended.Load() {
			return errBad
		}
		return b.handle(ctx, batch)
	}, skipping)
	l.settle()
	require.EqualValues(t, 2, l.c.Stats().Totals.Skipped)
	mended.Store(true)
	w.feed(rec(0, "a", "3"), rec(0, "b", "4"))
	l.settle()
	l.stop()
	require.Equal(t, []int64{2, 3}, b.of(0))
}

// TestSkipOutlivesACrash: once the offset behind a record that was given up is committed, its key is free for good.
func TestSkipOutlivesACrash(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "bad"))
	b := newBook()
	b.bad["bad"] = true
	l := w.consume(b.handle, skipping)
	l.settle()
	l.die(0, 1) // nothing survives that was not synced
	l.bury()
	w.feed(rec(0, "a", "heir"), rec(0, "a", "late"))
	l = w.consume(b.handle, skipping)
	l.settle()
	l.stop()
	require.Equal(t, []int64{1}, b.of(0))
}

// TestSkipInARewind: the records ahead were taken in before. One copy takes the place of the one that is given up, not all
// of them, and the position waits at it until that is certain.
func TestSkipInARewind(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	for i := range 200 { // several chunks
		w.feed(rec(0, fmt.Sprint("x", i), fmt.Sprint("x", i)))
	}
	w.feed(rec(0, "a", "2"), rec(0, "a", "3"))
	b := newBook()
	l := w.consume(b.handle, skipping)
	l.settle()
	l.stop()
	require.NotContains(t, b.of(0), int64(201))
	w.vacate()
	w.reset(0, 0)

	b = newBook()
	b.bad["1"] = true
	l = w.prepareConsumer(nil, b.handle, skipping)
	var below atomic.Bool
	l.c.cfg.Handler = func(ctx context.Context, batch Batch) error {
		if batch.Records[0].Offset > 64 && l.c.Stats().Partitions[0].Next > 0 {
			below.Store(true)
		}
		return b.handle(ctx, batch)
	}
	l.start()
	l.settle()
	l.stop()
	require.False(t, below.Load(), "the position passed the record before its key was settled")
	require.Equal(t, w.firstGood(0, b), b.of(0))
	require.Contains(t, b.of(0), int64(201))
	require.NotContains(t, b.of(0), int64(202))
}

// TestSkipInARewindOutlivesACrash: a crash before it is certain who takes the place of a record that was given up repeats the
// story from there, and the copy ahead gets its chance.
func TestSkipInARewindOutlivesACrash(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	for i := range 200 {
		w.feed(rec(0, fmt.Sprint("x", i), fmt.Sprint("x", i)))
	}
	w.feed(rec(0, "a", "2"), rec(0, "a", "3"))
	l := w.consume(newBook().handle, skipping)
	l.settle()
	l.stop()
	w.vacate()
	w.reset(0, 0)

	b := newBook()
	b.bad["1"] = true
	l = w.prepareConsumer(nil, b.handle, skipping)
	l.c.cfg.Handler = func(ctx context.Context, batch Batch) error {
		if err := b.handle(ctx, batch); err != nil || batch.Records[0].Offset < 128 {
			return err
		}
		// Two more ticks: were there something to commit behind the record, it would be now.
		time.Sleep(2 * l.m.cfg.CommitInterval)
		l.die(100, 1)
		return nil
	}
	l.start()
	l.bury()
	at, meta := w.committed(0)
	require.Zero(t, at)
	require.Contains(t, meta, "rewound")

	l = w.consume(b.handle, skipping)
	l.settle()
	l.stop()
	require.Equal(t, w.firstGood(0, b), b.set(0))
}

// TestDeadLetter: the letter carries the record and what is known of its failure, and the record's key is free: sent again,
// it passes.
func TestDeadLetter(t *testing.T) {
	const letters = "orders-dead"
	w := newWorld(t, 1)
	require.NoError(t, w.cluster.CreateTopic(letters, 1, nil))
	bad := rec(0, "b", "bad")
	bad.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte{7}}}
	w.feed(rec(0, "a", "1"), bad, rec(0, "c", "3"))
	b := newBook()
	b.bad["bad"] = true
	for _, recycle := range []bool{false, true} {
		l := w.consume(b.handle, func(cfg *ConsumerConfig) {
			cfg.OnError, cfg.DeadLetterTopic, cfg.Recycle = OnErrorDeadLetter, letters, recycle
		})
		l.settle()
		l.stop()
	}
	require.Equal(t, []int64{0, 2}, b.of(0))
	got := w.read(letters)[0]
	require.Len(t, got, 1)
	require.Equal(t, "b", string(got[0].Key))
	require.Equal(t, "bad", string(got[0].Value))
	require.Equal(t, []kgo.RecordHeader{
		{Key: "trace", Value: []byte{7}}, {Key: "noecho-error", Value: []byte("bad record")},
		{Key: "noecho-attempts", Value: []byte("2")}, {Key: "noecho-source", Value: []byte("orders/0/1")},
	}, got[0].Headers)

	clear(b.bad) // mended
	w.feed(&kgo.Record{Key: got[0].Key, Value: got[0].Value}, rec(0, "b", "late copy"))
	l := w.consume(b.handle, nil)
	l.settle()
	l.stop()
	require.Equal(t, []int64{0, 2, 3}, b.of(0))
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestDeadLetterTooLarge: a letter that its topic does not take is written without what is too large, says so, and names its source. The
// others are whole, though they were sent in one batch with it.
func TestDeadLetterTooLarge(t *testing.T) {
	const letters = "orders-dead"
	w := newWorld(t, 1)
	require.NoError(t, w.cluster.CreateTopic(letters, 1, nil))
	w.limit(letters, 6000)
	value, header, key := rec(0, "value", ""), rec(0, "header", "h"), rec(0, "", "k")
	value.Value = noise(8000)
	header.Headers = []kgo.RecordHeader{{Key: "large", Value: noise(8000)}}
	key.Key = noise(8000)
	w.feed(rec(0, "a", "1"), value, header, key, rec(0, "b", "2"))
	for range 2 { // the next start goes on behind it
		l := w.consume(func(context.Context, Batch) error { return errBad }, func(cfg *ConsumerConfig) {
			cfg.OnError, cfg.DeadLetterTopic = OnErrorDeadLetter, letters
		})
		l.settle()
		l.stop()
	}
	got := make(map[string]*kgo.Record)
	for _, r := range w.read(letters)[0] {
		got[string(r.Headers[len(r.Headers)-1].Value)] = r
	}
	require.Len(t, got, 5)
	omitted := func(r *kgo.Record) string {
		if h := r.Headers[len(r.Headers)-2]; h.Key == omittedHeader {
			return string(h.Value)
		}
		return ""
	}
	for source, want := range map[string][3]string{
		"orders/0/0": {"", "a", "1"}, "orders/0/1": {"value", "value", ""}, "orders/0/2": {"value+headers", "header", ""},
		"orders/0/3": {"value+headers+key", "", ""}, "orders/0/4": {"", "b", "2"},
	} {
		r := got[source]
		require.Equal(t, want, [3]string{omitted(r), string(r.Key), string(r.Value)}, source)
		require.NotNil(t, r.Value, "%s: a tombstone", source)
		require.Equal(t, errorHeader, r.Headers[0].Key)
	}
}

// TestDeadLetterAsLargeAsItsTopic: once Preflight knows what the topic takes, the client is no stricter than that.
func TestDeadLetterAsLargeAsItsTopic(t *testing.T) {
	const letters = "orders-dead"
	w := newWorld(t, 1)
	require.NoError(t, w.cluster.CreateTopic(letters, 1, nil))
	w.limit(testIn, 2<<20)
	w.limit(letters, 3<<20)
	large := rec(0, "a", "")
	large.Value = noise(3 << 19)
	w.feed(large)
	l := w.prepareConsumer(nil, func(context.Context, Batch) error { return errBad }, func(cfg *ConsumerConfig) {
		cfg.OnError, cfg.DeadLetterTopic = OnErrorDeadLetter, letters
	})
	require.NoError(t, l.c.Preflight(tContext(t)))
	l.start()
	l.settle()
	l.stop()
	require.Equal(t, large.Value, w.read(letters)[0][0].Value)
}

// TestDeadLetterBeforeOffset: while the letter is not acknowledged nothing moves; refused, it stops the consumer.
func TestDeadLetterBeforeOffset(t *testing.T) {
	const letters = "orders-dead"
	w := newWorld(t, 1)
	require.NoError(t, w.cluster.CreateTopic(letters, 1, nil))
	w.feed(rec(0, "a", "bad"))
	b := newBook()
	b.bad["bad"] = true
	dead := func(cfg *ConsumerConfig) {
		cfg.OnError, cfg.DeadLetterTopic, cfg.RebalanceTimeout = OnErrorDeadLetter, letters, 200*time.Millisecond
	}
	stuck := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: letters, Err: kerr.NotEnoughReplicas, Count: -1})
	l := w.consume(b.handle, dead)
	require.NoError(t, stuck.Wait(t.Context(), 2))
	l.stop() // in the drain's time there is no acknowledgement
	at, _ := w.committed(0)
	require.Zero(t, at)
	stuck.Remove()

	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: letters, Err: kerr.TopicAuthorizationFailed, Count: -1})
	l = w.consume(b.handle, dead)
	<-l.done
	var refused *DeadLetterError
	require.ErrorAs(t, l.err, &refused)
	require.ErrorIs(t, l.err, kerr.TopicAuthorizationFailed)
	at, _ = w.committed(0)
	require.Zero(t, at)
}

// TestOrphansAreBounded: beyond the bound keys are forgotten before the head is reached; the position moves.
func TestOrphansAreBounded(t *testing.T) {
	h := &handling{assignment: &assignment{part: 0, m: &member{}, state: headState{}}, c: &Consumer{}, ctx: t.Context(), held: 0, orphan: map[string]int64{}}
	for i := range maxOrphans - 1 {
		h.orphan[fmt.Sprint(i)] = int64(i)
	}
	require.NoError(t, h.settle(maxOrphans-1))
	require.Len(t, h.orphan, maxOrphans-1)
	h.orphan["one more"] = maxOrphans - 1
	require.NoError(t, h.settle(maxOrphans))
	require.Empty(t, h.orphan)
}

// headState is a state whose head is far away.
type headState struct{ partition }

func (headState) Coverage() (start, to int64)         { return 0, 1 << 40 }
func (headState) Forget([]byte) error                 { return nil }
func (headState) Commit(context.Context, int64) error { return nil }

// TestKeepFailedKeepsOrder: what is named as failed is kept in offset order, each with its own cause, named twice or not.
func TestKeepFailedKeepsOrder(t *testing.T) {
	h := &handling{}
	for i := range 5 {
		h.passed, h.again = append(h.passed, &kgo.Record{Offset: int64(i)}), append(h.again, i%2 == 1)
	}
	one, two := errors.New("one"), errors.New("two")
	h.keepFailed(&RecordErrors{Failed: []RecordError{{3, one}, {1, two}, {3, one}, {4, nil}}})
	require.Equal(t, []int64{1, 3, 4}, offsets(h.passed))
	require.Equal(t, []bool{true, true, false}, h.again)
	require.True(t, slices.Equal([]error{two, one, RecordError{4, nil}}, h.causes))
	require.EqualValues(t, 2, h.count.handled.Load())
}
