package wal

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

var benchSizes = []int{128, 8 << 10, 140 << 10} // a nearly empty commit, 500 marks, 8192 marks

// One caller, each frame synced: the latency of a commit.
func BenchmarkAppendSync(b *testing.B) {
	for _, fs := range []string{"none", "disk"} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("fs=%s/frame=%d", fs, size), func(b *testing.B) {
				l := benchLog(b, fs)
				payload := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					mustSync(b, l, payload)
				}
				require.NoError(b, l.Close())
			})
		}
	}
}

// Many callers share syncs: frames/sync says how many.
func BenchmarkGroupCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("fs=disk/callers=%d", callers), func(b *testing.B) {
			l := benchLog(b, "disk")
			payload := make([]byte, 8<<10)
			b.SetBytes(int64(len(payload)))
			b.SetParallelism((callers + 1) / 2) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mustSync(b, l, payload)
				}
			})
			m := l.Metrics()
			b.ReportMetric(float64(m.SyncedFrames)/float64(m.Syncs), "frames/sync")
			require.NoError(b, l.Close())
		})
	}
}

func benchLog(b *testing.B, fs string) *Log {
	o, dir := Options{}, b.TempDir()
	if fs == "none" { // what is left is ours
		o, dir = Options{FS: nullFS{vfs.NewMem()}, SegmentBytes: maxSegmentBytes}, testDir
	}
	l, err := Open(dir, o, ignore)
	require.NoError(b, err)
	return l
}

// Encoding and reading back marks, the work that is done for each new key.
func BenchmarkMark(b *testing.B) {
	var e Encoder
	n := int64(0)
	e.Begin(1, 1, 0)
	b.SetBytes(minMarkSize)
	for b.Loop() {
		if n++; n%8192 == 0 {
			e.Begin(1, 1, n)
		}
		e.Mark(7, uint64(n), uint64(n), n)
	}
}

func BenchmarkVisit(b *testing.B) {
	var e Encoder
	e.Begin(1, 1, 0)
	for i := range int64(8192) {
		e.Mark(7, uint64(i), uint64(i), i)
	}
	f, err := Decode(e.Finish(1, 1, 1))
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, f.Visit(&countingVisitor{}))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8192, "ns/mark")
}

// Opening: 64 MiB of frames, and a young log whose segment is made of zeros.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(dir, Options{}, ignore)
	require.NoError(b, err)
	payload := make([]byte, 128<<10)
	for range 480 {
		mustAppend(b, l, payload)
	}
	require.NoError(b, l.Close())
	b.SetBytes(int64(480 * len(payload)))
	for b.Loop() {
		l, err := Open(dir, Options{}, ignore)
		require.NoError(b, err)
		require.NoError(b, l.Close())
	}
}
