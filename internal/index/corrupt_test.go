package index

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// TestFlippedByte flips bytes all over the tables, one at a time. Each lookup and each scan must give the right answer or an error, never
// a wrong answer, and the process lives on: the failure is reported once, and
// the store closes and opens again.
func TestFlippedByte(t *testing.T) {
	mem := vfs.NewMem()
	state := newModel()
	x, err := Open("store", Options{FS: mem, tune: manual})
	require.NoError(t, err)
	for _, s := range script()[:3] {
		require.NoError(t, s.do(x))
		state = s.apply(state)
	}
	require.NoError(t, x.Close())
	files, err := mem.List("store")
	require.NoError(t, err)
	const stride = 61 // with 1 (all 15,196 bytes) it takes two minutes, and all are detected
	start := rand.IntN(stride)
	t.Logf("start %d", start)
	var flips, detected, harmless int
	for _, name := range files {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := mem.PathJoin("store", name)
		info, err := mem.Stat(path)
		require.NoError(t, err)
		for i := start; i < int(info.Size()); i += stride {
			flip(t, mem, path, i)
			flips++
			if readCorrupt(t, mem, state) {
				detected++
			} else {
				harmless++ // padding, properties that nobody reads
			}
			flip(t, mem, path, i)
		}
	}
	t.Logf("%d flips, %d detected, %d harmless", flips, detected, harmless)
	require.Greater(t, detected, flips/2)
	x = open(t, Options{FS: mem})
	requireState(t, x, state)
}

func flip(t *testing.T, mem *vfs.MemFS, path string, i int) {
	t.Helper()
	data, err := mem.UnsafeGetFileDataBuffer(path)
	require.NoError(t, err)
	data[i] ^= 0x40
}

// readCorrupt reads everything and reports whether the damage was noticed.
func readCorrupt(t *testing.T, mem *vfs.MemFS, state model) (noticed bool) {
	var fatal atomic.Int64
	x, err := Open("store", Options{FS: mem, tune: manual, OnFatal: func(error) { fatal.Add(1) }})
	if err != nil {
		return true
	}
	if r, err := x.Reader(); err == nil {
		for k, want := range state.marks {
			offset, ok, err := r.Get(k.partition, k.bucket, k.hi, k.lo)
			if noticed = noticed || err != nil; err == nil {
				require.True(t, ok)
				require.Equal(t, want, offset)
			}
		}
		require.NoError(t, r.Close())
	}
	got, err := dump(x)
	if noticed = noticed || err != nil; err == nil {
		require.Equal(t, state, got)
	}
	// Nobody may take the failed index for a healthy one.
	failed := x.failure() != nil
	if failed {
		for _, err := range everyCall(x) {
			require.ErrorAs(t, err, new(*FailedError))
		}
		require.Eventually(t, func() bool { return fatal.Load() == 1 }, time.Minute, 100*time.Microsecond)
	}
	err = x.Close()
	if failed {
		require.ErrorAs(t, err, new(*CorruptionError))
		require.True(t, errors.As(err, new(*FailedError)))
	} else {
		require.NoError(t, err)
	}
	return noticed
}
