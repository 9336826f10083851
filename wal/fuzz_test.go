package wal

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// mend makes the checksums in a segment of arbitrary bytes good, so that fuzzing gets behind them.
// Lengths and durable positions stay as they are.
func mend(b []byte) {
	if len(b) < segmentHeaderSize {
		return
	}
	segmentHeader{version: formatVersion, number: 1, previous: Position(binary.LittleEndian.Uint64(b[16:]))}.put(b)
	var s checkScratch
	for offset := int64(segmentHeaderSize); offset+frameHeaderSize <= int64(len(b)); {
		frame := b[offset:]
		size := frameSize(int(binary.LittleEndian.Uint32(frame[8:])))
		if size > int64(len(frame)) {
			binary.LittleEndian.PutUint32(frame, s.sum(at(1, offset), frame))
			return
		}
		s.seal(frame, at(1, offset), Position(binary.LittleEndian.Uint64(frame[16:])))
		offset += size
	}
}

// FuzzOpen opens a segment of arbitrary bytes. It is refused with a typed error, or it opens, and
// then what was replayed and what is appended come back.
func FuzzOpen(f *testing.F) {
	disk := vfs.NewMem()
	l, _ := reopen(f, disk, 4096)
	for i := range uint64(4) {
		mustSync(f, l, numbered(i, 20))
	}
	unclosed := readFile(f, disk, segmentPath(1))
	require.NoError(f, l.Close())
	closed := readFile(f, disk, segmentPath(1))
	f.Add(unclosed, false)
	f.Add(closed, true)
	f.Add(closed[:len(closed)-5], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, good bool) {
		if good {
			mend(b)
		}
		disk := vfs.NewMem()
		writeFile(t, disk, segmentPath(1), b)
		var frames []string
		keep := func(_ Position, b []byte) error { frames = append(frames, string(b)); return nil }
		l, err := Open(testDir, Options{FS: disk, SegmentBytes: 4096}, keep)
		if err != nil {
			var corruption *CorruptionError
			var version *VersionError
			if !errors.As(err, &corruption) && !errors.As(err, &version) {
				t.Fatal(err)
			}
			require.Empty(t, frames)
			return
		}
		mustSync(t, l, []byte("new"))
		require.NoError(t, l.Close())
		want := append(frames, "new")
		frames = nil
		_, err = Replay(testDir, Options{FS: disk}, keep)
		require.NoError(t, err)
		require.Equal(t, want, frames)
	})
}
