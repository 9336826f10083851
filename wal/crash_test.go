package wal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// Blocks of MemFS are 4 KiB: segments have several, frames have less and more than one.
const crashSegment = 20 << 10

// life is one run of a process over the log, with what a crash may do to it.
//
// The oracle has three states for a frame: acknowledged (must be replayed), appended (may be),
// and not appended (must not be).
type life struct {
	first     uint64 // number of its first frame
	next      uint64 // number of the next frame to append
	acked     uint64 // frames below were acknowledged
	truncated uint64 // frames below may be gone
}

// oracle is the life that runs. Crashes read it: they happen on the spare maker's goroutine as well.
type oracle struct {
	mu sync.Mutex
	v  life
}

func (o *oracle) now() life {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.v
}

func (o *oracle) set(change func(*life)) life {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.v)
	return o.v
}

// run does steps to the log on fs: appends, syncs, truncations, clean restarts.
func (o *oracle) run(t *testing.T, fs vfs.FS, rng *rand.Rand, steps int) {
	l, _ := reopen(t, fs, crashSegment)
	var at []Position // of this life's frames
	first := o.now().first
	ack := func(upTo uint64) { o.set(func(v *life) { v.acked = max(v.acked, upTo) }) }
	sync := func() {
		if len(at) > 0 {
			require.NoError(t, l.Sync(ctx, at[len(at)-1]))
			ack(first + uint64(len(at)))
		}
	}
	for range steps {
		switch rng.IntN(12) {
		default:
			for range 1 + rng.IntN(4) {
				// The number counts as appended before the call: the crash may be in the middle of it.
				number := o.set(func(v *life) { v.next++ }).next - 1
				at = append(at, mustAppend(t, l, numbered(number, frameBytes(rng))))
			}
		case 6, 7, 8:
			sync()
		case 9:
			if acked := o.now().acked; acked > first {
				upTo := first + rng.Uint64N(acked-first)
				o.set(func(v *life) { v.truncated = max(v.truncated, upTo) })
				require.NoError(t, l.Truncate(at[upTo-first]))
			}
		case 10:
			require.NoError(t, l.Close())
			ack(first + uint64(len(at)))
			l, _ = reopen(t, fs, crashSegment)
		}
	}
	sync()
	require.NoError(t, l.Close())
}

// frameBytes is mostly small, sometimes over blocks, now and then more than a segment. Sizes repeat,
// so that a frame of a later life may end where one of an earlier life began.
func frameBytes(rng *rand.Rand) int {
	switch rng.IntN(20) {
	case 0:
		return crashSegment + rng.IntN(2)*4096
	case 1, 2, 3, 4, 5:
		return 4096 - frameHeaderSize
	case 6, 7:
		return 9000
	}
	return 8 * (1 + rng.IntN(60))
}

// snapshot is the disk after a crash, and what the oracle knew just before it.
type snapshot struct {
	fs *vfs.MemFS
	life
}

// crashes runs a life and takes a snapshot before each operation that pick chooses, and one at the
// end.
func crashes(t *testing.T, disk *vfs.MemFS, v life, seed uint64, steps int, pick func(n int) bool, percent int) []snapshot {
	var all []snapshot
	rng := newRand(seed)
	fs := &hookFS{FS: disk}
	o := &oracle{v: v}
	crash := func() {
		known := o.now() // before the clone: what is acknowledged later need not be in it
		all = append(all, snapshot{disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), known})
	}
	fs.setHook(func(n int, _ op) error {
		if pick(n) {
			crash()
		}
		return nil
	})
	o.run(t, fs, newRand(seed+1), steps)
	fs.setHook(nil)
	crash()
	return all
}

// check opens a copy of the log after a crash, and gives back all that is replayed. before is what
// was there when the life began. The disk itself is left as the crash left it.
func (s *snapshot) check(t *testing.T, before []uint64) []uint64 {
	same := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(0)})
	l, got := reopen(t, same, crashSegment)
	require.NoError(t, l.Close())
	want := append(append([]uint64{}, before...), sequence(s.first, s.next)...)
	from := 0
	if len(got) > 0 {
		from = slices.Index(want, got[0])
		require.GreaterOrEqual(t, from, 0, "frame %d was not appended, or was cut", got[0])
	}
	for _, number := range want[:from] {
		require.Less(t, number, s.truncated, "lost in front")
	}
	require.LessOrEqual(t, from+len(got), len(want), "more than was appended")
	require.Equal(t, want[from:from+len(got)], append([]uint64{}, got...), "a hole, or frames that were cut came back")
	for _, number := range want[from+len(got):] {
		require.True(t, number >= s.acked || number < s.truncated, "%d was acknowledged, and is lost", number)
	}
	return got
}

// A crash at every operation, then two more lives over what it left. After each, the log is a
// prefix of what was appended, with all that was acknowledged, and nothing that was once cut.
func TestCrashAtEveryOperation(t *testing.T) {
	seeds, steps := uint64(3), 40
	if testing.Short() {
		seeds = 1
	}
	for _, percent := range []int{0, 25, 50, 100} {
		t.Run(fmt.Sprintf("unsynced=%d", percent), func(t *testing.T) {
			for seed := range seeds {
				first := crashes(t, vfs.NewCrashableMem(), life{}, seed, steps, func(int) bool { return true }, percent)
				for i, s := range first {
					kept := s.check(t, nil)
					if i%2 == 0 {
						again(t, s, kept, seed*1000+uint64(i), percent)
					}
				}
			}
		})
	}
}

// again goes on after a crash, crashes at some operations, and goes on once more.
func again(t *testing.T, s snapshot, kept []uint64, seed uint64, percent int) {
	rng := newRand(seed)
	next := s.next // numbers of frames that were cut are never given again
	v := life{first: next, next: next, acked: next, truncated: s.truncated}
	at := rng.IntN(20)
	second := crashes(t, s.fs, v, seed, 4, func(n int) bool { return n == at }, percent)
	for _, s2 := range second {
		kept2 := s2.check(t, kept)
		v3 := life{first: s2.next, next: s2.next, acked: s2.next, truncated: s2.truncated}
		third := crashes(t, s2.fs, v3, seed+7, 3, func(n int) bool { return n == at }, percent)
		for _, s3 := range third {
			s3.check(t, kept2)
		}
	}
}
