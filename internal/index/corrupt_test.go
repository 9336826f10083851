package index

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/record"
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

// TestFlippedByteInManifest: every flip in the manifest of a store that was
// closed is found; after a crash, every flip but one in the last record.
func TestFlippedByteInManifest(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		mem := vfs.NewCrashableMem()
		x, err := Open("store", Options{FS: mem, tune: manual})
		require.NoError(t, err)
		states := []model{newModel()}
		for i, s := range script()[:6] {
			require.NoError(t, s.do(x))
			states = append(states, s.apply(states[i]))
		}
		image := mem.CrashClone(vfs.CrashCloneCfg{})
		require.NoError(t, x.Close())
		if !crashed {
			image = mem.CrashClone(vfs.CrashCloneCfg{})
		}
		name, data, err := currentManifest(image, "store")
		require.NoError(t, err)
		path := image.PathJoin("store", name)
		bad, _ := scanLog(data)
		require.Equal(t, len(data), bad)
		found := 0
		for i := range data {
			fs := image.CrashClone(vfs.CrashCloneCfg{})
			flip(t, fs, path, i)
			x, err := Open("store", Options{FS: fs, tune: manual})
			if err != nil {
				require.ErrorAs(t, err, new(*CorruptionError))
				found++
				continue
			}
			require.True(t, crashed, "flip at %d", i)
			got, err := dump(x)
			require.NoError(t, err)
			require.Equal(t, states[len(states)-2], got, "flip at %d", i)
			require.NoError(t, x.Close())
		}
		t.Logf("crashed %v: %d of %d flips found", crashed, found, len(data))
		require.Greater(t, found, len(data)*3/4)
	}
}

// FuzzScanLog: any bytes are scanned without a panic, and a log that Pebble wrote
// has no bad chunk.
func FuzzScanLog(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add([]byte("record"), 40_000)
	f.Add(make([]byte, 100), 3)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		bad, next := scanLog(data)
		require.LessOrEqual(t, bad, len(data))
		require.True(t, next == -1 || bad < next && next < len(data))

		var log bytes.Buffer
		w := record.NewWriter(&log)
		var end int64
		for range 3 {
			r, err := w.Next()
			require.NoError(t, err)
			_, err = r.Write(bytes.Repeat(append(data, 'x'), 1+abs(size)%(80_000/(len(data)+1)+1)))
			require.NoError(t, err)
			require.NoError(t, w.Flush())
			end = w.Size()
		}
		require.NoError(t, w.Close())
		bad, next = scanLog(log.Bytes())
		require.EqualValues(t, end, bad)
		require.Equal(t, -1, next)
		// A flip in the first record is seen from the later ones.
		damaged := bytes.Clone(log.Bytes())
		damaged[0] ^= 1
		bad, next = scanLog(damaged)
		require.Zero(t, bad)
		require.Positive(t, next)
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

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
