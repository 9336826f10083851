package index

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// fullDisk fails compactions, which create their tables in the store's directory;
// an ingest links them there.
func fullDisk(full *atomic.Bool) errorfs.Injector {
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		table := strings.HasPrefix(op.Path, "store/0") && strings.HasSuffix(op.Path, tableSuffix)
		if full.Load() && op.Kind == errorfs.OpCreate && table {
			return errorfs.ErrInjected
		}
		return nil
	})
}

// TestWaitL0 stacks runs of one bucket while compactions fail (a full disk, say).
// A waiter ends with its context, and when the disk has room again, although
// nothing else happens in the store that would make Pebble look for work.
func TestWaitL0(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	x := open(t, Options{FS: errorfs.Wrap(leaks(t), fullDisk(&full)), mergeDepth: 1})
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1}, Entry{3, 3, 3})}, nil))
	for i := range int64(8) {
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, i}, Entry{9, 9, i})}, nil))
	}
	// Pebble puts the tables below L0 that were part of a failed compaction aside
	// for 30 s: cut them out, with what lies over them, to be there sooner.
	require.NoError(t, x.db.Excise(ctxb, pebble.KeyRange{
		Start: appendPrefix(nil, 1, 1), End: append(appendPrefix(nil, 1, 1), 0, 0, 0, 0, 0, 0, 0, 5)}))
	m := x.Metrics()
	require.Equal(t, 8, m.L0Sublevels)
	require.EqualValues(t, 8, m.VirtualTables)
	require.Less(t, m.BackgroundErrors, uint64(20), "a failing compaction spins")
	require.NoError(t, x.WaitL0(ctxb, m.L0Sublevels))

	ctx, cancel := context.WithCancel(ctxb)
	waiting := make(chan error)
	go func() { waiting <- x.WaitL0(ctx, 0) }()
	cancel()
	require.ErrorIs(t, <-waiting, context.Canceled)

	require.Eventually(t, func() bool { return x.Metrics().BackgroundErrors > 1 }, time.Minute, time.Millisecond)
	full.Store(false)
	require.NoError(t, x.WaitL0(ctxb, 0))
	require.LessOrEqual(t, x.Metrics().L0Sublevels, 2)
	requireMark(t, x, mark{1, 1, 9, 9}, 7)
}

// TestWaitL0Pokes: after a failed compaction Pebble rests until something changes,
// and WaitL0 is the one to make the change. It takes the 30 s that Pebble puts the
// tables aside for.
func TestWaitL0Pokes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 s")
	}
	t.Parallel()
	var full atomic.Bool
	x := open(t, Options{FS: errorfs.Wrap(vfs.NewMem(), fullDisk(&full)), mergeDepth: 1})
	full.Store(true)
	for i := range int64(6) {
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, i}, Entry{9, 9, i})}, nil))
	}
	require.Eventually(t, func() bool {
		m := x.Metrics()
		return m.CompactionsActive == 0 && m.BackgroundErrors > 0
	}, time.Minute, time.Millisecond)
	full.Store(false)
	require.Greater(t, x.Metrics().L0Sublevels, 2)
	require.NoError(t, x.WaitL0(ctxb, 0))
	require.LessOrEqual(t, x.Metrics().L0Sublevels, 2)
}

// TestCloseEndsWaiters: Close does not wait for who waits.
func TestCloseEndsWaiters(t *testing.T) {
	var full atomic.Bool
	full.Store(true) // or the settler would merge what they wait for
	x := open(t, Options{FS: errorfs.Wrap(leaks(t), fullDisk(&full)), mergeDepth: 1, tune: manual})
	for i := range int64(8) {
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, i}, Entry{9, 9, i})}, nil))
	}
	x.writer <- struct{}{} // a writer that takes its time
	results := make(chan error)
	go func() { results <- x.WaitL0(ctxb, 0) }()
	go func() { results <- x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil) }()
	go func() { results <- x.DropPartition(ctxb, 1) }()
	for {
		x.mu.Lock()
		n := x.mu.active
		x.mu.Unlock()
		if n == 3 {
			break
		}
	}
	within(t, "Close", func() { require.NoError(t, x.Close()) })
	for range 3 {
		require.ErrorIs(t, <-results, ErrClosed)
	}
}
