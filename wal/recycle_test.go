package wal

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// fillSegment appends until the log is in a new segment, and gives the last position.
func fillSegment(t *testing.T, l *Log, number *uint64) (pos Position) {
	for started := l.End().Segment(); ; *number++ {
		if pos = mustSync(t, l, numbered(*number, 100)); pos.Segment() != started {
			*number++
			return pos
		}
	}
}

// A segment is made ahead once the active one is half full, and only then.
func TestSegmentsAreMadeAhead(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 4096)
	for l.End().Offset() < 1800 {
		mustSync(t, l, numbered(0, 100))
	}
	require.Empty(t, names(t, disk, spareSuffix))
	for l.End().Offset() < 2200 {
		mustSync(t, l, numbered(0, 100))
	}
	eventually(t, func() bool { return l.Metrics().Spares == 1 })
	info, err := disk.Stat(testDir + "/" + fileName(1, spareSuffix))
	require.NoError(t, err)
	require.EqualValues(t, 4096, info.Size())

	var number uint64
	fillSegment(t, l, &number)
	require.Zero(t, l.Metrics().Spares, "it is the new segment")
	info, err = disk.Stat(segmentPath(2))
	require.NoError(t, err)
	require.EqualValues(t, 4096, info.Size())
	require.NoError(t, l.Close())
}

// Truncation recycles whole segments. The files stay few however much is written, and what is
// replayed never has a byte of what a file held before.
func TestTruncateRecycles(t *testing.T) {
	disk := vfs.NewCrashableMem()
	l, _ := reopen(t, disk, 4096)
	var number uint64
	for range 30 {
		for l.End().Offset() < 2200 {
			mustSync(t, l, numbered(number, 100))
			number++
		}
		eventually(t, func() bool { return l.Metrics().Spares > 0 })
		pos := fillSegment(t, l, &number)
		require.NoError(t, l.Truncate(pos))
		require.Equal(t, at(pos.Segment(), segmentHeaderSize), l.Oldest())
		m := l.Metrics()
		require.Equal(t, 1, m.Segments)
		require.LessOrEqual(t, m.Spares, maxSpares)
		require.LessOrEqual(t, len(names(t, disk, spareSuffix)), maxSpares)
		require.Len(t, names(t, disk, segmentSuffix), 1)
		require.Equal(t, []uint64{number - 1}, replayed(t, disk.CrashClone(vfs.CrashCloneCfg{})))
	}
	require.Greater(t, l.Metrics().Recycled, uint64(20))
	require.NoError(t, l.Close())

	// A second life takes the spares over; one of another segment size does not.
	l, _ = reopen(t, disk, 4096)
	require.Equal(t, len(names(t, disk, spareSuffix)), l.Metrics().Spares)
	require.NotZero(t, l.Metrics().Spares)
	require.NoError(t, l.Close())
	l, _ = reopen(t, disk, 8192)
	require.Zero(t, l.Metrics().Spares)
	require.Empty(t, names(t, disk, spareSuffix))
	require.NoError(t, l.Close())
}

func TestTruncateKeepsWhatIsNeeded(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 512)
	var positions []Position
	for i := range uint64(40) {
		positions = append(positions, mustSync(t, l, numbered(i, 50)))
	}
	require.NoError(t, l.Truncate(0))
	require.Equal(t, at(1, segmentHeaderSize), l.Oldest())
	for i, pos := range positions {
		require.NoError(t, l.Truncate(pos))
		require.LessOrEqual(t, l.Oldest(), pos)
		require.Equal(t, pos.Segment(), l.Oldest().Segment())
		got := replayed(t, disk)
		require.LessOrEqual(t, got[0], uint64(i))
		require.EqualValues(t, 39, got[len(got)-1])
	}
	require.NoError(t, l.Truncate(at(1000, 0)), "beyond the end: all but the active segment")
	require.Equal(t, 1, l.Metrics().Segments)
	require.Equal(t, l.End().Offset(), l.Metrics().Bytes)
	require.NoError(t, l.Close())
}

// A full disk stops the making of spares, not the log, and is asked once a segment.
func TestDiskFullForSpares(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	var tries atomic.Uint64
	fs.setHook(func(_ int, o op) error {
		if strings.HasSuffix(o.path, spareSuffix) && o.kind == "write" {
			tries.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	l, _ := reopen(t, fs, 4096)
	var number uint64
	for segment := range uint64(3) {
		for l.End().Offset() < 2200 {
			mustSync(t, l, numbered(number, 100))
			number++
		}
		eventually(t, func() bool { return tries.Load() == segment+1 })
		for range 5 {
			mustSync(t, l, numbered(number, 100))
			number++
			eventually(t, func() bool { return len(l.spares.wake) == 0 })
		}
		fillSegment(t, l, &number)
	}
	require.NoError(t, l.Err())
	require.NoError(t, l.Close())
	require.EqualValues(t, 3, tries.Load())
	require.Equal(t, sequence(0, number), replayed(t, fs.FS))
	require.Empty(t, names(t, fs.FS, spareSuffix), "half of a spare is left")
}

// A full disk when a segment is needed poisons the log; after room is made it opens with all that
// was acknowledged.
func TestDiskFullForASegment(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 1024)
	fs.setHook(func(_ int, o op) error {
		if o.kind == "create" {
			return syscall.ENOSPC
		}
		return nil
	})
	acked := uint64(0)
	for {
		if err := l.Sync(ctx, mustAppend(t, l, numbered(acked, 100))); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, "create segment")
			break
		}
		acked++
	}
	require.ErrorIs(t, l.Close(), syscall.ENOSPC)
	l, got := reopen(t, fs.FS, 1024)
	require.Equal(t, sequence(0, acked), got)
	mustSync(t, l, numbered(acked, 100))
	require.NoError(t, l.Close())
}

// Truncate that could not remove leaves the log whole and can be called again.
func TestTruncateCanBeTriedAgain(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 1024)
	var number uint64
	fillSegment(t, l, &number)
	pos := fillSegment(t, l, &number)
	fs.setHook(func(_ int, o op) error {
		if (o.kind == "remove" || o.kind == "rename") && strings.HasSuffix(o.path, segmentSuffix) {
			return syscall.EACCES
		}
		return nil
	})
	require.ErrorIs(t, l.Truncate(pos), syscall.EACCES)
	require.NoError(t, l.Err())
	require.Equal(t, 3, l.Metrics().Segments)
	fs.setHook(nil)
	require.NoError(t, l.Truncate(pos))
	require.Equal(t, 1, l.Metrics().Segments)
	require.NoError(t, l.Close())
}

// Opening and closing does not grow the log, and makes no spares.
func TestManyStarts(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 64<<20)
	require.NoError(t, l.Close())
	require.Len(t, readFile(t, disk, segmentPath(1)), segmentHeaderSize)
	l, _ = reopen(t, disk, 64<<20)
	mustSync(t, l, numbered(0, 8))
	require.NoError(t, l.Close())
	for range 50 {
		l, got := reopen(t, disk, 64<<20)
		require.Equal(t, []uint64{0}, got)
		require.NoError(t, l.Close())
	}
	require.Len(t, readFile(t, disk, segmentPath(1)), segmentHeaderSize+int(frameSize(8))+frameHeaderSize)
	require.Empty(t, names(t, disk, spareSuffix))
}

// A frame leaves room for the trailer, so that files keep their size and can be recycled. Only a frame
// that no segment has room for makes one larger, and has it for itself.
func TestSegmentsKeepTheirSize(t *testing.T) {
	disk := vfs.NewMem()
	// No spare is ever ready, or a segment might start out as one, with a spare's size: that is up to the scheduler.
	fs := &hookFS{FS: disk, hook: func(_ int, o op) error {
		if strings.HasSuffix(o.path, spareSuffix) {
			return syscall.ENOSPC
		}
		return nil
	}}
	l, _ := reopen(t, fs, 256)
	mustSync(t, l, numbered(0, 80))
	mustSync(t, l, numbered(1, 80)) // would end at 240
	mustSync(t, l, numbered(2, 1000))
	mustSync(t, l, numbered(3, 80))
	require.NoError(t, l.Close())
	for number, want := range map[uint64]int{1: 136, 2: 136, 3: 32 + 24 + 1000, 4: 136 + 24} {
		require.Len(t, readFile(t, disk, segmentPath(number)), want)
	}
}
