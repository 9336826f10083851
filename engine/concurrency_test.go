package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// writer drives one partition: batches of new keys, each followed by the same keys as copies, and a commit.
type writer struct {
	p     *engine.Partition
	next  int64
	fresh int64
	rng   *rand.Rand
}

// step takes in one batch of each and says what is wrong.
func (w *writer) step(ctx context.Context, ts int64) error {
	n := 1 + w.rng.IntN(300)
	ks := keys(key("k", w.fresh)+"-", n)
	w.fresh++
	for round, want := range []engine.Kind{engine.Unique, engine.Duplicate} {
		out, err := w.p.Check(batch(w.next, ts, ks...), nil)
		if err != nil {
			return err
		}
		for i, v := range out {
			if v.Kind != want || v.First != w.next+int64(i)-int64(round*n) {
				return &wrongVerdict{v, want, w.next + int64(i)}
			}
		}
		w.next += int64(n)
	}
	return w.p.Commit(ctx, w.next)
}

type wrongVerdict struct {
	got    engine.Verdict
	want   engine.Kind
	offset int64
}

func (w *wrongVerdict) Error() string {
	return "offset " + key("", w.offset) + ": " + w.got.Kind.String() + ", want " + w.want.String()
}

// TestManyPartitions: partitions are written side by side, with seals, expiry, evictions and commits that share syncs, while
// others read metrics and look keys up.
func TestManyPartitions(t *testing.T) {
	const partitions, steps = 8, 40
	o := testOptions(testutil.NewFS())
	o.TableKeys, o.MemoryBytes = 200, 1<<20
	e, err := engine.Open("data", o)
	require.NoError(t, err)
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	var ps []*engine.Partition
	errs := make(chan error, partitions+1)
	for i := range int32(partitions) {
		p, err := e.Partition("t", i)
		require.NoError(t, err)
		writers.Go(func() {
			w := writer{p: p, rng: rand.New(rand.NewPCG(uint64(i), 1))}
			for n := range int64(steps) {
				if err := w.step(context.Background(), 50*n); err != nil {
					errs <- err
					return
				}
			}
		})
		ps = append(ps, p)
	}
	readers.Go(func() { errs <- lookAround(e, ps, &done) })
	writers.Wait()
	done.Store(true)
	readers.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, e.Close())
	require.NoError(t, engine.CheckIndex(o.FS.(*testutil.FS), "data"))
}

// lookAround reads whatever there is to read, at a pace that leaves the processor to the writers.
func lookAround(e *engine.Engine, ps []*engine.Partition, done *atomic.Bool) error {
	for ; !done.Load(); time.Sleep(time.Millisecond) {
		_ = e.Metrics()
		for _, p := range ps {
			_ = p.Metrics()
			p.Coverage()
			p.Committed()
			if _, _, err := p.Lookup([]byte("k0-0")); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestCloseDuringChecks: whoever is in a call gets a verdict or ErrClosed, nobody hangs, and the store opens again with
// every commit that was acknowledged.
func TestCloseDuringChecks(t *testing.T) {
	for round := range uint64(5) {
		o := testOptions(testutil.NewFS())
		o.TableKeys, o.MemoryBytes = 100, 1<<20
		if round%2 == 1 {
			o = engine.Ahead(engine.Cold(o))
		}
		e, err := engine.Open("data", o)
		require.NoError(t, err)
		const partitions = 4
		var acked [partitions]atomic.Int64
		var started, finished sync.WaitGroup
		errs := make(chan error, partitions)
		for i := range int32(partitions) {
			p, err := e.Partition("t", i)
			require.NoError(t, err)
			started.Add(1)
			finished.Go(func() {
				w := writer{p: p, rng: rand.New(rand.NewPCG(round, uint64(i)))}
				errs <- w.until(&started, &acked[i])
			})
		}
		started.Wait()
		require.NoError(t, e.Close())
		finished.Wait()
		for range partitions {
			require.ErrorIs(t, <-errs, engine.ErrClosed)
		}
		e, err = engine.Open("data", o)
		require.NoError(t, err)
		for i := range int32(partitions) {
			p, err := e.Partition("t", i)
			require.NoError(t, err)
			require.GreaterOrEqual(t, p.Committed(), acked[i].Load())
		}
		require.NoError(t, e.Close())
	}
}

// until steps until an error, and says when it has begun.
func (w *writer) until(started *sync.WaitGroup, acked *atomic.Int64) error {
	for n := int64(0); ; n++ {
		if err := w.step(context.Background(), 20*n); err != nil {
			return err
		}
		acked.Store(w.next)
		if n == 2 {
			started.Done()
		}
	}
}

// TestClaimsRace: of many who claim one partition at a time, one gets it; claims and drops of others do not disturb it.
func TestClaimsRace(t *testing.T) {
	e, err := engine.Open("data", testOptions(testutil.NewFS()))
	require.NoError(t, err)
	var won atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				p, err := e.Partition("t", 0)
				if errors.Is(err, engine.ErrClaimed) {
					continue
				}
				if err != nil || won.Add(1) != 1 {
					t.Errorf("two owners, or %v", err)
				}
				_, _ = p.Check(batch(0, 0, "a"), nil)
				won.Add(-1)
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				if err := e.Drop("t", 0); err != nil && !errors.Is(err, engine.ErrClaimed) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, e.Close())
}
