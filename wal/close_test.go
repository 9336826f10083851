package wal

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// Close, while others append, sync and truncate: each of them gets an answer, and none of them
// touches a file after it.
func TestCloseBesideOthers(t *testing.T) {
	for range 100 {
		disk := vfs.NewMem()
		l, _ := reopen(t, disk, 256)
		for i := range uint64(6) {
			mustSync(t, l, numbered(i, 100))
		}
		var group sync.WaitGroup
		var acked atomic.Uint64
		group.Go(func() {
			for i := uint64(6); ; i++ {
				pos, err := l.Append(numbered(i, 100))
				if err == nil {
					err = l.Sync(ctx, pos)
				}
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				acked.Store(i)
			}
		})
		group.Go(func() {
			for {
				if err := l.Truncate(l.End()); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
		for acked.Load() == 0 {
			runtime.Gosched()
		}
		require.NoError(t, l.Close())
		group.Wait()
		got := replayed(t, disk)
		require.GreaterOrEqual(t, got[len(got)-1], acked.Load())
	}
}

// Close waits for a Truncate under way: it must not take the directory from under it.
func TestCloseWaitsForTruncate(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 256)
	var number uint64
	for range 3 {
		fillSegment(t, l, &number)
	}
	require.NoError(t, l.Close())
	fs := &hookFS{FS: disk}
	l, _ = reopen(t, fs, 256)
	closed := make(chan error, 1)
	var once sync.Once
	fs.setHook(func(_ int, o op) error {
		if o.kind == "remove" || o.kind == "rename" {
			once.Do(func() { go func() { closed <- l.Close() }() })
			for range 1000 {
				runtime.Gosched() // time enough for a Close that does not wait
			}
		}
		return nil
	})
	require.NoError(t, l.Truncate(l.End()))
	require.NoError(t, <-closed)
}

// Who only appends is held back: the group is written when it is full.
func TestAppendBoundsMemory(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 64<<20)
	for i := range uint64(24) {
		mustAppend(t, l, numbered(i, 1<<20))
		l.mu.Lock()
		require.LessOrEqual(t, len(l.mu.pending.buf), groupBytes+1<<20+frameHeaderSize)
		l.mu.Unlock()
	}
	require.NotZero(t, l.Metrics().Syncs)
	require.NoError(t, l.Close())
	require.Len(t, replayed(t, disk), 24)
}

func TestCloseIsFinal(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 0)
	pos := mustAppend(t, l, numbered(0, 8))
	require.NoError(t, l.Close(), "makes what waits durable")
	_, err := l.Append(numbered(1, 8))
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, l.Sync(ctx, pos), ErrClosed)
	require.ErrorIs(t, l.Truncate(pos), ErrClosed)
	require.NoError(t, l.Err())
	require.NoError(t, l.Close())
	require.Equal(t, []uint64{0}, replayed(t, disk))
}

func TestTooLarge(t *testing.T) {
	l, _ := reopen(t, vfs.NewMem(), 0)
	_, err := l.Append(make([]byte, MaxFrame+1))
	require.ErrorIs(t, err, ErrTooLarge)
	mustSync(t, l, make([]byte, MaxFrame))
	require.NoError(t, l.Close())
}

func TestOptionsAreChecked(t *testing.T) {
	for _, size := range []int64{-1, 255, 1<<30 + 1} {
		_, err := Open(testDir, Options{FS: vfs.NewMem(), SegmentBytes: size}, ignore)
		require.ErrorContains(t, err, fmt.Sprintf("SegmentBytes is %d, want 256 to 1073741824", size))
	}
}
