package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// faults is an injector that fails operations from the n-th on.
type faults struct {
	n     int64 // first to fail
	only  bool  // and no other
	seen  atomic.Int64
	off   atomic.Bool
	fired atomic.Int64
}

func (f *faults) MaybeError(op errorfs.Op) error {
	if f.off.Load() {
		return nil
	}
	i := f.seen.Add(1) - 1
	if i == f.n || i > f.n && !f.only {
		f.fired.Add(1)
		return fmt.Errorf("operation %d (%v %s): %w", i, op.Kind, op.Path, errorfs.ErrInjected)
	}
	return nil
}

func (f *faults) String() string { return "faults" }

// within fails the test when fn hangs.
func within(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		panic(what + " hangs") // with all goroutines' stacks
	}
}

// TestFaultAtEveryOperation fails the n-th file operation, reads included, for
// n = 0, 1, 2, ... until a whole history passes untouched: once alone, and once
// with all that follow. No call may panic or hang; what reads without an error
// must be right; an error other than *FailedError must mean that nothing
// changed; and the store opens again, in the same process, whole.
func TestFaultAtEveryOperation(t *testing.T) {
	t.Parallel() // so that its frozen goroutines come after the tests that look for leaks
	for _, only := range []bool{true, false} {
		t.Run(fmt.Sprintf("once=%v", only), func(t *testing.T) {
			var seen outcomes
			first, stride := int64(0), int64(1)
			if testing.Short() {
				first, stride = rand.Int64N(5), 5
			}
			for n := first; ; n += stride {
				f := &faults{n: n, only: only}
				faultyHistory(t, f, &seen)
				if f.fired.Load() == 0 {
					break
				}
			}
			t.Logf("%+v", seen)
			require.Positive(t, seen.openErrors, "no error surfaced in Open")
			require.Positive(t, seen.stepErrors, "no error surfaced in a step")
			require.Positive(t, seen.failures, "no failure was final")
			require.Positive(t, seen.readErrors, "no error surfaced in a read")
		})
	}
}

// outcomes counts what came of the faults, to see that each kind occurred.
type outcomes struct{ openErrors, stepErrors, readErrors, failures, applied int }

func faultyHistory(t *testing.T, f *faults, seen *outcomes) {
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, f)
	var fatal atomic.Int64
	o := Options{FS: fs, CacheBytes: 1 << 20, OnFatal: func(error) { fatal.Add(1) }, tune: manual}
	var x *Index
	var err error
	state, maybe := newModel(), newModel()
	within(t, "Open", func() { x, err = Open("store", o) })
	if err != nil {
		require.ErrorIs(t, err, errorfs.ErrInjected)
		seen.openErrors++
	} else {
		within(t, "history", func() { state, maybe = faultySteps(t, x, seen) })
		failed := x.failure() != nil
		within(t, "Close", func() { err = x.Close() })
		if failed {
			require.ErrorAs(t, err, new(*FailedError))
			seen.failures++
		} else if err != nil {
			require.ErrorIs(t, err, errorfs.ErrInjected)
		}
		require.Equal(t, x.Close(), err, "second Close")
		require.ErrorIs(t, x.Ingest(ctxb, nil, nil), ErrClosed)
		if failed {
			require.Eventually(t, func() bool { return fatal.Load() == 1 }, time.Minute, time.Millisecond)
		} else if err == nil {
			require.Zero(t, fatal.Load())
		}
	}
	f.off.Store(true)
	x, err = Open("store", o)
	require.NoError(t, err, "after fault %d", f.n)
	got, err := dump(x)
	require.NoError(t, err)
	if !equal(got, state) {
		require.Equal(t, maybe, got, "after fault %d", f.n)
		seen.applied++
	}
	require.NoError(t, x.Check())
	more := step{entries: map[mark]int64{{1, 7, 7, 7}: 7}}
	require.NoError(t, more.do(x))
	requireState(t, x, more.apply(got))
	require.NoError(t, x.Close())
}

// faultySteps returns the state the index must have, and the one it may have
// instead because a step's outcome is unknown.
func faultySteps(t *testing.T, x *Index, seen *outcomes) (state, maybe model) {
	state, maybe = newModel(), newModel()
	for i, s := range script() {
		err := s.do(x)
		var final *FailedError
		switch {
		case err == nil:
			state = s.apply(state)
			maybe = state
		case errors.As(err, &final):
			maybe = s.apply(state)
			for _, e := range everyCall(x) {
				require.ErrorAs(t, e, &final)
			}
			return state, maybe
		default:
			require.ErrorIs(t, err, errorfs.ErrInjected, "step %d", i)
			seen.stepErrors++
		}
		got, err := dump(x)
		if err != nil {
			require.ErrorIs(t, err, errorfs.ErrInjected)
			seen.readErrors++
			continue
		}
		require.Equal(t, state, got, "after step %d", i)
	}
	return state, maybe
}

// everyCall makes every call of the index and returns the errors.
func everyCall(x *Index) []error {
	one := []Run{run(1, 1, Entry{1, 1, 1})}
	_, errReader := x.Reader()
	_, _, errMeta := x.GetMeta(nil)
	_, errDisk := x.DiskBytes(1, 0, 1)
	x.Metrics()
	return []error{
		x.Ingest(ctxb, one, nil), x.DropBuckets(ctxb, 1, 0, 1), x.DropPartition(ctxb, 1), errReader,
		x.Scan(ctxb, 1, 0, 1, nil), x.EachMeta(nil), errMeta, errDisk, x.WaitL0(ctxb, 0), x.Check(),
	}
}

// TestFreeze takes the manifest away under a store in full use: readers in
// flight, snapshots held, compactions running, somebody waiting. Every call ends
// with an answer or an error, and the directory can be opened at once.
func TestFreeze(t *testing.T) {
	t.Parallel() // see TestFaultAtEveryOperation
	for range 20 {
		mem := vfs.NewMem()
		var broken atomic.Bool
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && op.Kind == errorfs.OpFileSync && mem.PathBase(op.Path)[0] == 'M' {
				return errorfs.ErrInjected
			}
			return nil
		}))
		x, err := Open("store", Options{FS: fs, tune: func(p *pebble.Options) { p.L0CompactionThreshold = 1 }})
		require.NoError(t, err)
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil))
		held, err := x.Reader()
		require.NoError(t, err)
		results := make(chan error)
		for range 3 {
			go func() { results <- readUntilError(x) }()
		}
		go func() {
			for i := int64(0); ; i++ {
				if err := x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1}, Entry{2, 2, i})}, nil); err != nil {
					results <- err
					return
				}
				broken.Store(i > 20)
			}
		}()
		within(t, "a call after the freeze", func() {
			for range 4 {
				require.ErrorAs(t, <-results, new(*FailedError))
			}
			_, _, err := held.Get(1, 1, 1, 1)
			require.ErrorAs(t, err, new(*FailedError))
			require.NoError(t, held.Close())
			require.ErrorAs(t, x.Close(), new(*FailedError))
		})
		broken.Store(false)
		x, err = Open("store", Options{FS: fs})
		require.NoError(t, err)
		requireMark(t, x, mark{1, 1, 1, 1}, 1)
		require.NoError(t, x.Close())
	}
}

func requireMark(t *testing.T, x *Index, k mark, want int64) {
	t.Helper()
	r, err := x.Reader()
	require.NoError(t, err)
	defer r.Close()
	got, ok, err := r.Get(k.partition, k.bucket, k.hi, k.lo)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, want, got)
}

// readUntilError opens readers, looks a mark up, closes them, and asks for
// metrics, until something fails.
func readUntilError(x *Index) error {
	var r Reader
	for {
		if err := x.ResetReader(&r); err != nil {
			return err
		}
		offset, ok, err := r.Get(1, 1, 1, 1)
		if err != nil {
			r.Close()
			return err
		}
		if !ok || offset != 1 {
			return fmt.Errorf("wrong answer: %d, %v", offset, ok)
		}
		r.Close()
		x.Metrics()
	}
}
