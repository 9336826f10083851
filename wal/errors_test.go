package wal

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// failing injects an error into operation n, and into all after it if it persists.
type failing struct {
	mu       sync.Mutex // the spare maker works beside the test
	n, seen  int
	persists bool
	hits     int
}

func (f *failing) String() string { return fmt.Sprintf("operation %d", f.n) }

func (f *failing) MaybeError(errorfs.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	here := f.seen == f.n || f.persists && f.seen > f.n
	f.seen++
	if !here {
		return nil
	}
	f.hits++
	return errorfs.ErrInjected
}

func (f *failing) hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits > 0
}

// journey opens a log twice, appends, truncates, closes, and goes on after errors: after the first
// poison all must be poison. It gives back what was appended and acknowledged.
func journey(t *testing.T, fs vfs.FS) (appended, acked uint64) {
	for range 2 {
		l, err := Open(testDir, Options{FS: fs, SegmentBytes: 512}, ignore)
		if err != nil {
			require.ErrorIs(t, err, errorfs.ErrInjected)
			return appended, acked
		}
		appended, acked = leg(t, l, appended, acked)
		poison := l.Err()
		err = l.Close()
		if poison != nil {
			require.ErrorIs(t, err, poison)
		}
		if err == nil {
			acked = appended
		} else {
			return appended, acked
		}
	}
	return appended, acked
}

func leg(t *testing.T, l *Log, appended, acked uint64) (uint64, uint64) {
	poisoned := false
	for i := range 40 {
		pos, err := l.Append(numbered(appended, 60+i%3*40))
		require.Equal(t, poisoned, err != nil)
		if err == nil {
			appended++
			err = l.Sync(ctx, pos)
			if err == nil {
				acked = appended
			}
		}
		if err == nil && i%7 == 6 {
			err = l.Truncate(at(l.End().Segment()-1, 0)) // keeps at least the segment before
		}
		var poison *PoisonedError
		if errors.As(err, &poison) {
			require.ErrorIs(t, err, errorfs.ErrInjected)
			require.ErrorIs(t, l.Err(), poison)
			poisoned = true
		} else if err != nil {
			require.ErrorIs(t, err, errorfs.ErrInjected) // Truncate could not remove; it may be tried again
			require.NoError(t, l.Err())
		}
	}
	return appended, acked
}

// An error at the n-th operation, for n = 0, 1, 2 ... until none is hit, once and for good. Never a
// panic; what was acknowledged is there afterwards, on the disk as it is and after a power cut.
func TestErrorAtEachOperation(t *testing.T) {
	for _, persists := range []bool{false, true} {
		t.Run(fmt.Sprintf("persists=%v", persists), func(t *testing.T) {
			for n := 0; ; n++ {
				disk := vfs.NewCrashableMem()
				f := &failing{n: n, persists: persists}
				appended, acked := journey(t, errorfs.Wrap(disk, f))
				for _, after := range []*vfs.MemFS{disk.CrashClone(vfs.CrashCloneCfg{}), disk} {
					l, got := reopen(t, after, 512)
					require.NoError(t, l.Close())
					if acked == 0 {
						require.LessOrEqual(t, uint64(len(got)), appended)
						continue
					}
					require.NotEmpty(t, got, "error at operation %d", n)
					require.Equal(t, sequence(got[0], got[0]+uint64(len(got))), got)
					last := got[len(got)-1]
					require.True(t, acked-1 <= last && last < appended,
						"error at operation %d: %d acknowledged, %d appended, last replayed is %d", n, acked, appended, last)
				}
				if !f.hit() {
					require.Greater(t, n, 150, "the journey has more operations")
					return
				}
			}
		})
	}
}
