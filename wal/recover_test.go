package wal

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// A crash cuts the last group at every byte. What is behind is zero, what an older segment left, or
// nothing at all; the frames before stay, and the log goes on.
func TestTornTailAtEveryByte(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 1<<20)
	for i := range uint64(4) {
		mustSync(t, l, numbered(i, 40))
	}
	durable := l.End().Offset()
	var ends []int64 // of the frames in the last group
	for i := range uint64(5) {
		mustAppend(t, l, numbered(4+i, 20+int(i)*17))
		ends = append(ends, l.End().Offset())
	}
	require.NoError(t, l.Sync(ctx, l.End()))
	whole := readFile(t, disk, segmentPath(1))
	require.NoError(t, l.Close())

	stale := make([]byte, 4096)
	for i := range stale {
		stale[i] = byte(i*7 + 1)
	}
	for _, behind := range [][]byte{nil, make([]byte, 4096), stale} {
		for cut := durable; cut <= int64(len(whole)); cut++ {
			torn := append(whole[:cut:cut], behind...)
			kept := uint64(4)
			for _, end := range ends {
				if int64(len(torn)) >= end && bytes.Equal(torn[:end], whole[:end]) {
					kept++
				}
			}
			crashed := vfs.NewCrashableMem()
			writeFile(t, crashed, segmentPath(1), torn)
			l, got := reopen(t, crashed, 1<<20)
			require.Equal(t, sequence(0, kept), got, "cut at %d", cut)
			mustSync(t, l, numbered(uint64(len(got)), 33))
			crashed = crashed.CrashClone(vfs.CrashCloneCfg{})
			require.NoError(t, l.Close())
			require.Equal(t, sequence(0, uint64(len(got))+1), replayed(t, crashed))
		}
	}
}

// In a crash the first block of a group is lost and a later one is not. The frames there are cut;
// the next life appends just so much that its last frame ends where one of them begins; and the
// machine goes down once more.
func TestCutFramesStayDead(t *testing.T) {
	const frames = 4
	payload := func(number uint64) []byte { return numbered(number, 40) }
	for lost := range frames {
		t.Run(fmt.Sprintf("lost=%d", lost), func(t *testing.T) {
			disk := vfs.NewMem()
			l, _ := reopen(t, disk, 4096)
			mustSync(t, l, payload(0))
			start, size := l.End().Offset(), frameSize(40)
			for i := range uint64(frames) {
				mustAppend(t, l, payload(1+i))
			}
			require.NoError(t, l.Sync(ctx, l.End()))
			torn := readFile(t, disk, segmentPath(1))
			require.NoError(t, l.Close())
			// The lost frame keeps its header, its payload is gone: the next life may write the very
			// same payload there, and lose the header of it.
			clear(torn[start+int64(lost)*size+frameHeaderSize:][:40])

			crashed := vfs.NewCrashableMem()
			writeFile(t, crashed, segmentPath(1), torn)
			l, got := reopen(t, crashed, 4096)
			require.Equal(t, sequence(0, 1+uint64(lost)), got)
			header := readFile(t, crashed, segmentPath(1))[start+int64(lost)*size:][:frameHeaderSize]
			require.Equal(t, make([]byte, frameHeaderSize), header, "the header of a cut frame is left")
			mustSync(t, l, payload(100))
			crashed = crashed.CrashClone(vfs.CrashCloneCfg{})
			require.NoError(t, l.Close())
			require.Equal(t, append(got, 100), replayed(t, crashed))
		})
	}
}

// A sync fails, the process ends, the next one finds the frames in the page cache. What it replays
// must survive a power cut right after Open.
func TestReplayedFramesAreDurable(t *testing.T) {
	for _, segmentBytes := range []int64{256, 4096} { // the unsynced frame in a new segment, or not
		disk := vfs.NewCrashableMem()
		hooked := &hookFS{FS: disk}
		l, _ := reopen(t, hooked, segmentBytes)
		mustSync(t, l, numbered(0, 150))
		hooked.setHook(func(_ int, o op) error {
			if o.kind == "syncData" {
				return fs.ErrInvalid
			}
			return nil
		})
		pos := mustAppend(t, l, numbered(1, 150))
		var poisoned *PoisonedError
		require.ErrorAs(t, l.Sync(ctx, pos), &poisoned)
		require.ErrorAs(t, l.Close(), &poisoned)
		require.Equal(t, []uint64{0}, replayed(t, disk.CrashClone(vfs.CrashCloneCfg{})), "not on the disk")

		l, got := reopen(t, disk, segmentBytes)
		require.Equal(t, got, replayed(t, disk.CrashClone(vfs.CrashCloneCfg{})), "on the disk when Open returns")
		require.NoError(t, l.Close())
	}
}

// closedLog makes a log of several segments, recycled files among them, closed cleanly.
func closedLog(t *testing.T) (disk *vfs.MemFS, frames []uint64) {
	disk = vfs.NewMem()
	l, _ := reopen(t, disk, 1024)
	for i := range uint64(60) {
		pos := mustSync(t, l, numbered(i, 24+int(i%5)*13))
		if i == 30 {
			require.NoError(t, l.Truncate(pos))
		}
	}
	require.NoError(t, l.Close())
	frames = replayed(t, disk)
	require.Greater(t, len(names(t, disk, segmentSuffix)), 2)
	return disk, frames
}

// Each byte of a cleanly closed log is damaged in turn. Where it was part of the log, that is found,
// and found in the right place; where it was not, nothing is lost.
func TestDamageInAClosedLog(t *testing.T) {
	disk, frames := closedLog(t)
	segments := names(t, disk, segmentSuffix)
	slices.Sort(segments)
	last := segments[len(segments)-1]
	end, err := Replay(testDir, Options{FS: disk}, ignore)
	require.NoError(t, err)
	for _, number := range segments {
		path := segmentPath(number)
		whole := readFile(t, disk, path)
		used := end.Offset()
		if number != last {
			next := readFile(t, disk, segmentPath(number+1))
			h, reason := parseSegmentHeader(next, uint32(number+1))
			require.Empty(t, reason)
			used = h.previous.Offset()
		}
		for offset := int64(0); offset < int64(len(whole)); offset++ {
			bad := slices.Clone(whole)
			bad[offset] ^= 1 << (offset % 8)
			damaged := copyLog(t, disk, path, bad)
			var got []uint64
			_, err := Replay(testDir, Options{FS: damaged}, collect(t, &got))
			trailer := number == last && offset >= used-frameHeaderSize
			if offset >= used || trailer { // no frame is there; without the trailer none is missing
				require.NoError(t, err, "segment %d offset %d", number, offset)
				require.Equal(t, frames, got)
				continue
			}
			var corruption *CorruptionError
			require.ErrorAs(t, err, &corruption, "segment %d offset %d of %d", number, offset, used)
			require.Equal(t, path, corruption.Path)
			require.LessOrEqual(t, corruption.Offset, offset)
			require.Less(t, offset-corruption.Offset, int64(128), "too far from the damage")
			require.Empty(t, got, "replayed from a damaged log")
		}
	}
}

// The log was not closed. Damage before the last group is found, since that group says what was
// durable before it; in the last group it can't be told from a torn write.
func TestDamageInAnOpenLog(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 4096)
	var proven int64
	for i := range uint64(8) {
		proven = l.End().Offset()
		mustAppend(t, l, numbered(2*i, 30))
		mustSync(t, l, numbered(2*i+1, 50))
	}
	whole := readFile(t, disk, segmentPath(1))
	require.NoError(t, l.Close())
	for offset := range int64(len(whole)) {
		bad := slices.Clone(whole)
		bad[offset] ^= 0x10
		damaged := vfs.NewMem()
		writeFile(t, damaged, segmentPath(1), bad)
		var got []uint64
		_, err := Replay(testDir, Options{FS: damaged}, collect(t, &got))
		if offset < proven {
			var corruption *CorruptionError
			require.ErrorAs(t, err, &corruption, "offset %d", offset)
			require.LessOrEqual(t, corruption.Offset, offset)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, sequence(0, uint64(len(got))), got)
		require.GreaterOrEqual(t, len(got), 14)
	}
}

// A frame larger than the read window is lost as a whole; the frame behind it proves that.
func TestDamageBeforeAFarFrame(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 4<<20)
	mustSync(t, l, numbered(0, 2<<20))
	mustSync(t, l, numbered(1, 100))
	whole := readFile(t, disk, segmentPath(1))
	require.NoError(t, l.Close())
	whole[segmentHeaderSize+8]++ // the length: the next frame can't be found by it
	writeFile(t, disk, segmentPath(1), whole)
	var corruption *CorruptionError
	_, err := Open(testDir, Options{FS: disk}, ignore)
	require.ErrorAs(t, err, &corruption)
	require.EqualValues(t, segmentHeaderSize, corruption.Offset)
}

func TestMissingAndMisnamedSegments(t *testing.T) {
	disk, frames := closedLog(t)
	segments := names(t, disk, segmentSuffix)
	slices.Sort(segments)
	open := func(change func(fs *vfs.MemFS)) error {
		changed := copyLog(t, disk, "", nil)
		change(changed)
		l, err := Open(testDir, Options{FS: changed, SegmentBytes: 1024}, ignore)
		if err == nil {
			require.NoError(t, l.Close())
		}
		return err
	}
	var corruption *CorruptionError

	err := open(func(fs *vfs.MemFS) { require.NoError(t, fs.Remove(segmentPath(segments[1]))) })
	require.ErrorAs(t, err, &corruption)
	require.Equal(t, segmentPath(segments[1]), corruption.Path)

	err = open(func(fs *vfs.MemFS) {
		writeFile(t, fs, segmentPath(segments[1]), readFile(t, fs, segmentPath(segments[2])))
	})
	require.ErrorAs(t, err, &corruption)
	require.Equal(t, segmentPath(segments[1]), corruption.Path)

	err = open(func(fs *vfs.MemFS) { writeFile(t, fs, segmentPath(segments[0]), nil) })
	require.ErrorAs(t, err, &corruption)
	require.ErrorContains(t, err, "file ends in the segment header")

	// Only segment 1 may be without a header: a log begins with it.
	junk := make([]byte, 100)
	for _, numbers := range [][]uint64{{5}, {1, 2}} {
		fs := vfs.NewMem()
		for _, number := range numbers {
			writeFile(t, fs, segmentPath(number), junk)
		}
		_, err = Open(testDir, Options{FS: fs}, ignore)
		require.ErrorAs(t, err, &corruption)
		require.Equal(t, segmentPath(numbers[0]), corruption.Path)
	}
	fs := vfs.NewMem()
	writeFile(t, fs, segmentPath(1), junk)
	l, got := reopen(t, fs, 0)
	require.Empty(t, got)
	require.NoError(t, l.Close())

	// A last segment that never got its header was being made in the crash: it goes.
	last := slices.Max(segments)
	require.NoError(t, open(func(fs *vfs.MemFS) {
		writeFile(t, fs, segmentPath(last+1), junk)
		l, got := reopen(t, fs, 1024)
		require.Equal(t, frames, got)
		require.NoError(t, l.Close())
		require.NotContains(t, names(t, fs, segmentSuffix), last+1)
	}))

	// Files that are not ours are left alone.
	require.NoError(t, open(func(fs *vfs.MemFS) {
		writeFile(t, fs, testDir+"/notes.txt", []byte("hello"))
		writeFile(t, fs, testDir+"/7.wal", []byte("not 20 digits"))
	}))
}

func TestFormatVersion(t *testing.T) {
	disk := vfs.NewMem()
	header := make([]byte, segmentHeaderSize)
	segmentHeader{version: 9, number: 1}.put(header)
	writeFile(t, disk, segmentPath(1), header)
	_, err := Open(testDir, Options{FS: disk}, ignore)
	var version *VersionError
	require.ErrorAs(t, err, &version)
	require.EqualValues(t, 9, version.Version)
	require.ErrorContains(t, err, "format version 9, this build reads version 1")
}

// A length is believed only as far as the file goes: a small file can't ask for much memory.
func TestLengthIsHeldAgainstTheFile(t *testing.T) {
	file := make([]byte, segmentHeaderSize+frameHeaderSize)
	segmentHeader{version: formatVersion, number: 1}.put(file)
	frame := file[segmentHeaderSize:]
	putFrame(frame, frameData, 0)
	new(checkScratch).seal(frame, at(1, segmentHeaderSize), 0)
	frame[8], frame[9], frame[10] = 0, 0, 0xff // 16 MiB less 64 KiB, under a good check
	s := new(checkScratch)
	sum := s.sum(at(1, segmentHeaderSize), frame)
	frame[0], frame[1], frame[2], frame[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	_, reason := s.parse(frame, at(1, segmentHeaderSize))
	require.Empty(t, reason)

	disk := vfs.NewMem()
	writeFile(t, disk, segmentPath(1), file)
	r := &recovery{fs: disk, dir: testDir}
	require.NoError(t, r.scan())
	require.Less(t, cap(r.reader.window), 1<<10)
	require.EqualValues(t, segmentHeaderSize, r.segments[0].end)
}

func TestReplayErrorEndsOpen(t *testing.T) {
	disk, _ := closedLog(t)
	_, err := Open(testDir, Options{FS: disk}, func(Position, []byte) error { return fs.ErrInvalid })
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.ErrorContains(t, err, "replay of frame")
}
