package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killed feeds records and kills the relay when it has committed them all: the log then holds what no index has yet.
func (s *site) killed(records int) {
	s.t.Helper()
	c := start(s.t, s.command("--segment-bytes", "1Mi"))
	for range 5 { // several frames, not one
		s.feed(records / 5)
		s.drains(c)
	}
	c.kill()
}

// frames gives the newest segment of the log that holds any, and where its frames start; the last number is where they end. It
// goes by the format as documented: a header of 32 bytes, then frames of 24 bytes, the length at byte 8, and the payload, padded to 8.
func (s *site) frames() (path string, starts []int) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*", "*.wal"))
	require.NoError(s.t, err)
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) {
		b, err := os.ReadFile(path)
		require.NoError(s.t, err)
		starts = []int{32}
		for at := 32; at+24 <= len(b) && b[at+12] != 0; {
			at += 24 + int(binary.LittleEndian.Uint32(b[at+8:])+7)&^7
			starts = append(starts, at)
		}
		if len(starts) > 1 {
			return path, starts
		}
	}
	require.FailNow(s.t, "the log holds nothing", paths)
	return "", nil
}

// TestCorruptLog: damage before valid frames is no torn tail. The start is refused with file and offset; the file brought
// back, everything goes on.
func TestCorruptLog(t *testing.T) {
	s := newSite(t)
	s.killed(5000)
	s.feed(1000)
	path, starts := s.frames()
	require.Greater(t, len(starts), 4)
	flip := func(b []byte) []byte { b[starts[len(starts)/2]+30] ^= 0x10; return b }
	change(t, path, flip)
	s.refused(exitFailed, "corruption in .*"+filepath.Base(path)+" at offset [0-9]+.*restore", "--segment-bytes", "1Mi")
	change(t, path, flip)
	s.works("--segment-bytes", "1Mi")
	s.complete()
}

// TestTornLog: half a frame behind the last whole one is what a crash in the middle of a write leaves. It is cut off.
func TestTornLog(t *testing.T) {
	s := newSite(t)
	s.killed(5000)
	path, starts := s.frames()
	change(t, path, func(b []byte) []byte {
		last, end := starts[len(starts)-2], starts[len(starts)-1]
		return append(b[:end], b[last:(last+end)/2]...)
	})
	s.feed(1000)
	s.works("--segment-bytes", "1Mi")
	s.complete()
}

// TestTruncatedLog cuts into a frame that was committed, which no crash does: the keys in it are forgotten, so copies of those
// records may pass, but no record is lost and the relay does not refuse to start.
func TestTruncatedLog(t *testing.T) {
	s := newSite(t)
	s.killed(5000)
	path, starts := s.frames()
	last, end := starts[len(starts)-2], starts[len(starts)-1]
	require.NoError(t, os.Truncate(path, int64((last+end)/2)))
	s.feed(1000)
	s.works("--segment-bytes", "1Mi")
	judge := newTally(s.plan, s.input)
	require.NoError(t, s.b.read(s.output, deadline(t, time.Minute), judge.add))
	t.Log(judge)
	require.Zero(t, judge.lost()+judge.disordered+judge.foreign, judge.notes)
}
