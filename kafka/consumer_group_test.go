package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestConsumerRevoked: revoked partitions finish their call and are committed; when they come back nothing is repeated.
func TestConsumerRevoked(t *testing.T) {
	w := newWorld(t, 4)
	rng := rand.New(rand.NewPCG(51, 1))
	b := newBook()
	l := w.consume(b.handle, briefly)
	for range 3 {
		w.feed(history(rng, 4, 2000)...)
		l.shareWithGuest()
	}
	w.eventually("all mine again", func() bool { return len(l.c.Stats().Partitions) == 4 })
	l.settle()
	l.stop()
	for part := range w.parts {
		require.Equal(t, w.firstGood(part, b), b.of(part))
	}
}

// TestConsumerLost: the handler's context ends when the partition is lost. What it did is not committed, and is done again.
func TestConsumerLost(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"), rec(0, "a", "3"))
	b := newBook()
	entered, lost := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	var commits atomic.Int64
	l := w.prepareConsumer(&hooks{before: func(int32, int64) error { commits.Add(1); return nil }}, func(ctx context.Context, batch Batch) error {
		if !first.Swap(true) {
			close(entered)
			<-ctx.Done()
			close(lost)
			require.Zero(t, commits.Load())
			return nil // too late to be believed
		}
		require.True(t, batch.Redelivered(0))
		return b.handle(ctx, batch)
	}, briefly)
	l.start()
	<-entered
	w.expire(lost)
	l.settle()
	l.stop()
	require.Equal(t, []int64{0, 1}, b.of(0))
}

// TestHandlerOutOfTime: a handler that does not finish in the time of a drain has its context ended; what it says then, done
// or not, counts.
func TestHandlerOutOfTime(t *testing.T) {
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprintf("done=%v", done), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(rec(0, "a", "1"))
			entered := make(chan struct{})
			l := w.consume(func(ctx context.Context, _ Batch) error {
				close(entered)
				<-ctx.Done()
				if done {
					return nil
				}
				return ctx.Err()
			}, func(cfg *ConsumerConfig) { cfg.RebalanceTimeout = 200 * time.Millisecond })
			<-entered
			l.stop()
			at, meta := w.committed(0)
			require.Equal(t, done, at == 1, "committed %d", at)
			require.True(t, done || !strings.Contains(meta, "clean"), meta)
		})
	}
}

// TestSlowHandler: a call may take longer than the session. The member stays in the group, and nothing is repeated.
func TestSlowHandler(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"))
	b := newBook()
	var rebalances atomic.Int64
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		rebalances.Add(1)
		return nil, nil, false
	})
	l := w.consume(func(ctx context.Context, batch Batch) error {
		before := rebalances.Load()
		time.Sleep(time.Second) // three sessions
		require.Equal(t, before, rebalances.Load())
		require.NoError(t, ctx.Err())
		return b.handle(ctx, batch)
	}, briefly)
	l.settle()
	l.stop()
	require.Equal(t, []int64{0, 1}, b.of(0))
}

// TestConsumerBackPressure: a partition whose handler is slow is paused at its bound, and holds up no other.
func TestConsumerBackPressure(t *testing.T) {
	w := newWorld(t, 2)
	b := newBook()
	let := make(chan struct{})
	l := w.consume(func(ctx context.Context, batch Batch) error {
		if batch.Partition == 0 {
			<-let
		}
		return b.handle(ctx, batch)
	}, func(cfg *ConsumerConfig) { cfg.QueueBytes, cfg.FetchPartitionBytes = 64<<10, 16<<10 })
	letGo := sync.OnceFunc(func() { close(let) })
	t.Cleanup(letGo) // whatever fails: Run waits for the handler
	rng := rand.New(rand.NewPCG(52, 1))
	for range 60 { // batches of about 15 KB that do not compress, so that a fetch is not much more than it may be
		records := history(rng, 2, 30)
		for _, r := range records {
			for range 125 {
				r.Value = binary.LittleEndian.AppendUint64(r.Value, rng.Uint64())
			}
		}
		w.feed(records...)
	}
	w.eventually("the other partition is done, and this one paused", func() bool {
		s := l.c.Stats()
		return len(s.Partitions) == 2 && s.Partitions[1].Lag == 0 && s.Partitions[1].Next == int64(len(w.fed[1])) && s.Partitions[0].Paused
	})
	s := l.c.Stats()
	require.Positive(t, s.Pauses)
	require.Less(t, s.Partitions[0].QueuedBytes, int64(200<<10), "the bound, and a fetch")
	letGo()
	l.settle()
	l.stop()
	for part := range w.parts {
		require.Equal(t, w.firstGood(part, b), b.of(part))
	}
}

// TestTwoConsumers: members with a store each share the partitions; while no copies cross over, each record is handled once.
func TestTwoConsumers(t *testing.T) {
	w := newWorld(t, 4)
	b := newBook()
	unique := func(from, n int) {
		for i := range n {
			w.feed(rec(int32(i%4), fmt.Sprint("k", from+i), fmt.Sprint("v", from+i)))
		}
	}
	unique(0, 200)
	l := w.consume(b.handle, briefly)
	l.settle()

	e, err := engine.Open("data", engine.Options{Window: time.Hour, FS: testutil.NewFS(), MaxClockLead: -1})
	require.NoError(t, err)
	defer e.Close()
	cfg := w.consumerConfig(&network{}, b.handle)
	briefly(&cfg)
	cfg.Engine = e
	second, err := NewConsumer(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- second.Run(ctx) }()
	w.eventually("shared", func() bool { return len(l.c.Stats().Partitions) == 2 && len(second.Stats().Partitions) == 2 })
	unique(1000, 200)
	w.eventually("all handled", func() bool {
		n := 0
		for part := range w.parts {
			n += len(b.of(part))
		}
		return n >= 400
	})
	cancel()
	require.NoError(t, <-done)
	require.Positive(t, second.Stats().Totals.Handled)
	w.eventually("all mine again", func() bool { return len(l.c.Stats().Partitions) == 4 })
	unique(2000, 200)
	l.settle()
	l.stop()
	for part := range w.parts {
		require.Equal(t, offsets(w.fed[part]), b.of(part))
	}
}

// TestConsumerFenced: another process with the same instance id ends this one.
func TestConsumerFenced(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.consume(newBook().handle, nil)
	l.settle()
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat, kmsg.OffsetCommit}, Group: testGroup, Err: kerr.FencedInstanceID, Count: -1})
	w.feed(rec(0, "b", "2"))
	select {
	case <-l.done:
	case <-time.After(patience):
		require.Fail(t, "Run did not end")
	}
	var fenced *FencedError
	require.ErrorAs(t, l.err, &fenced)
}
