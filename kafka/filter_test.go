package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/engine"
)

func (w *world) newFilter(e *engine.Engine, edit func(*FilterConfig)) *Filter {
	w.t.Helper()
	cfg := FilterConfig{Engine: e}
	cfg.Key, _ = ParseKey("key")
	if edit != nil {
		edit(&cfg)
	}
	f, err := NewFilter(cfg)
	require.NoError(w.t, err)
	return f
}

// loop is a poll loop of somebody's own. It runs until enough says so, or handle fails, and commits every other time.
func (w *world) loop(f *Filter, handle func(*kgo.Record) error, enough func() bool) error {
	cl, err := kgo.NewClient(append(f.Options(), kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup(testGroup), kgo.ConsumeTopics(testIn),
		kgo.HeartbeatInterval(20*time.Millisecond), kgo.FetchMaxPartitionBytes(4<<10))...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	ctx := tContext(w.t)
	var passed []*kgo.Record
	for turn := 0; !enough(); turn++ {
		poll, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := cl.PollFetches(poll)
		cancel()
		if passed, err = f.Fetches(fetches, passed[:0]); err != nil {
			return err
		}
		for _, r := range passed {
			if err := handle(r); err != nil {
				return err
			}
		}
		if turn%2 == 0 {
			if err := f.CommitOffsets(ctx, cl); err != nil {
				return err
			}
		}
		cl.AllowRebalance()
	}
	return f.CommitOffsets(ctx, cl)
}

// TestFilterLoop: originals in order, no copy; a loop that ends in the middle of a batch goes on at the last commit.
func TestFilterLoop(t *testing.T) {
	w, b := newWorld(t, 3), newBook()
	rng := rand.New(rand.NewPCG(61, 1))
	w.feed(history(rng, 3, 3000)...)
	deaths := 0
	for life := 0; ; life++ {
		e, err := engine.Open("data", w.engineOptions())
		require.NoError(t, err)
		f := w.newFilter(e, nil)
		handled, last := 0, 1+rng.IntN(400)
		err = w.loop(f, func(r *kgo.Record) error {
			if handled++; life < 5 && handled == last {
				return errBad
			}
			b.done[r.Partition] = append(b.done[r.Partition], r.Offset)
			return nil
		}, func() bool {
			for part := range w.parts {
				if done := b.set(part); len(done) < len(w.firstGood(part, b)) {
					return false
				}
			}
			return f.Stats().Unique+f.Stats().Redelivery+f.Stats().Duplicate > 0
		})
		if err == nil {
			f.Close()
			require.NoError(t, e.Close())
			break
		}
		require.ErrorIs(t, err, errBad)
		deaths++
		w.fs = w.fs.Crash(50, uint64(life)) // what was not synced may be gone
		_ = e.Close()
	}
	require.Positive(t, deaths)
	w.requireHandled(b)
}

// TestFilterCommitsDropped: the offsets cover the records that were dropped, and the marks are durable before they are given out.
func TestFilterCommitsDropped(t *testing.T) {
	w := newWorld(t, 2)
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	f := w.newFilter(e, nil)
	batch := func(part int32, from int64, keys ...string) (rs []*kgo.Record) {
		for i, k := range keys {
			rs = append(rs, &kgo.Record{Topic: testIn, Partition: part, Offset: from + int64(i), LeaderEpoch: 3, Key: []byte(k), Timestamp: time.UnixMilli(1)})
		}
		return rs
	}
	records := append(batch(0, 5, "a", "b", "a"), append(batch(1, 0, "a", "a"), batch(0, 8, "b", "c", "b")...)...)
	passed, err := f.Filter(records, records[:0]) // in place
	require.NoError(t, err)
	require.Equal(t, []int64{5, 6, 0, 9}, offsets(passed))
	at, err := f.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]map[int32]kgo.EpochOffset{testIn: {0: {Epoch: 3, Offset: 11}, 1: {Epoch: 3, Offset: 2}}}, at)
	require.Equal(t, FilterStats{Unique: 4, Duplicate: 4}, f.Stats())

	fs := w.fs.Crash(0, 1)
	_ = e.Close()
	w.fs = fs
	e, err = engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	defer e.Close()
	f = w.newFilter(e, nil)
	passed, err = f.Filter(batch(0, 11, "a", "b", "c", "d"), nil)
	require.NoError(t, err)
	require.Equal(t, []int64{14}, offsets(passed))

	// A partition that was revoked is given back, is not committed any more, and may be claimed by another.
	f.Revoked(t.Context(), nil, map[string][]int32{testIn: {0, 1}, "other": {7}})
	at, err = f.Commit(t.Context())
	require.NoError(t, err)
	require.Empty(t, at)
	p, err := e.Partition(testIn, 0)
	require.NoError(t, err)
	_, err = f.Filter(batch(0, 15, "e"), nil)
	require.ErrorIs(t, err, engine.ErrClaimed)
	require.NoError(t, p.Close())
	passed, err = f.Filter(batch(0, 14, "d", "e"), nil) // uncommitted, delivered again
	require.NoError(t, err)
	require.Equal(t, []int64{14, 15}, offsets(passed))
	f.Close()
}

// TestFilterRewound: a position set back in the loop is taken as it is.
func TestFilterRewound(t *testing.T) {
	w := newWorld(t, 1)
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	defer e.Close()
	f := w.newFilter(e, nil)
	var records []*kgo.Record
	for i := range 3000 { // more than a chunk
		records = append(records, &kgo.Record{Topic: testIn, Offset: int64(i), Key: fmt.Append(nil, i/2), Timestamp: time.UnixMilli(1)})
	}
	first, err := f.Filter(records, nil)
	require.NoError(t, err)
	require.Len(t, first, 1500)
	_, err = f.Commit(t.Context())
	require.NoError(t, err)
	again, err := f.Filter(records[1000:2000], nil)
	require.NoError(t, err)
	require.Equal(t, first[500:1000], again)
	at, err := f.Commit(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2000, at[testIn][0].Offset)
	require.EqualValues(t, 500, f.Stats().Redelivery)
}

func TestFilterMissingKey(t *testing.T) {
	w := newWorld(t, 1)
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	defer e.Close()
	for part, missing := range []MissingKey{MissingPass, MissingDrop, MissingFail} {
		f := w.newFilter(e, func(c *FilterConfig) { c.OnMissingKey = missing })
		records := []*kgo.Record{{Topic: testIn, Partition: int32(part), Offset: 0}, {Topic: testIn, Partition: int32(part), Offset: 1}}
		passed, err := f.Filter(records, nil)
		switch missing {
		case MissingPass:
			require.NoError(t, err)
			require.Len(t, passed, 2)
		case MissingDrop:
			require.NoError(t, err)
			require.Empty(t, passed)
			require.EqualValues(t, 2, f.Stats().NoKey)
		case MissingFail:
			var none *MissingKeyError
			require.ErrorAs(t, err, &none)
		}
		f.Close()
	}
	_, err = NewFilter(FilterConfig{OnMissingKey: "shrug"})
	var config *ConfigError
	require.ErrorAs(t, err, &config)
	require.Len(t, config.Problems, 2)
}

// TestFilterOffsetCommitFails: what passes by itself is counted, what does not is returned; the next commit makes good.
func TestFilterOffsetCommitFails(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	defer e.Close()
	f := w.newFilter(e, nil)
	cl, err := kgo.NewClient(append(f.Options(), kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup(testGroup), kgo.ConsumeTopics(testIn))...)
	require.NoError(t, err)
	defer cl.CloseAllowingRebalance()
	passed, err := f.Fetches(cl.PollFetches(tContext(t)), nil)
	require.NoError(t, err)
	require.Len(t, passed, 1)
	refused := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.GroupAuthorizationFailed, Count: 1})
	require.ErrorIs(t, f.CommitOffsets(t.Context(), cl), kerr.GroupAuthorizationFailed)
	require.EqualValues(t, 1, refused.Hits())
	passing := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.RebalanceInProgress, Count: 1})
	require.NoError(t, f.CommitOffsets(t.Context(), cl))
	require.EqualValues(t, 1, passing.Hits())
	require.EqualValues(t, 2, f.Stats().CommitFailures)
	at, _ := w.committed(0)
	require.EqualValues(t, -1, at)
	require.NoError(t, f.CommitOffsets(t.Context(), cl))
	at, _ = w.committed(0)
	require.EqualValues(t, 1, at)
	f.Close()
}

// TestFilterRevoked: partitions that the group takes away are given back to the engine between two polls, and what comes back goes on.
func TestFilterRevoked(t *testing.T) {
	w, b := newWorld(t, 4), newBook()
	w.feed(history(rand.New(rand.NewPCG(62, 1)), 4, 400)...)
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	defer e.Close()
	f := w.newFilter(e, nil)
	claimed := func() (n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.parts[testIn])
	}
	var stop atomic.Bool
	done := make(chan error, 1)
	go func() {
		done <- w.loop(f, func(r *kgo.Record) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.done[r.Partition] = append(b.done[r.Partition], r.Offset)
			return nil
		}, stop.Load)
	}()
	w.eventually("all claimed", func() bool { return claimed() == 4 })
	g := w.guest()
	w.eventually("some given back", func() bool { return claimed() == 2 })
	g.Close()
	w.feed(history(rand.New(rand.NewPCG(62, 1)), 4, 600)...) // the same and more
	w.eventually("all handled", func() bool {
		for part := range w.parts {
			if len(b.set(part)) < len(w.firstGood(part, b)) {
				return false
			}
		}
		return true
	})
	stop.Store(true)
	require.NoError(t, <-done)
	w.requireHandled(b)
	f.Close()
}
