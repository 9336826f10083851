package e2e

import (
	"bytes"
	"math/rand/v2"
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

// segment is the newest segment of the log that holds anything, and the length of what it holds.
func (s *site) segment() (path string, length int) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*", "*.wal"))
	require.NoError(s.t, err)
	require.NotEmpty(s.t, paths)
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) {
		b, err := os.ReadFile(path)
		require.NoError(s.t, err)
		if n := len(bytes.TrimRight(b, "\x00")); n > 1000 {
			return path, n
		}
	}
	require.FailNow(s.t, "the log holds nothing", paths)
	return "", 0
}

// TestCorruptLog: damage before valid frames is no torn tail. The start is refused with file and offset; the file brought
// back, everything goes on.
func TestCorruptLog(t *testing.T) {
	s := newSite(t)
	s.killed(5000)
	s.feed(1000)
	path, n := s.segment()
	flip := func(b []byte) []byte { b[n/2] ^= 0x10; return b }
	change(t, path, flip)
	s.refused(exitFailed, "corruption in .*"+filepath.Base(path)+" at offset [0-9]+.*restore", "--segment-bytes", "1Mi")
	change(t, path, flip)
	s.works("--segment-bytes", "1Mi")
	s.complete()
}

// TestTornLog: bytes of a frame that was being written when the machine stopped are cut off without a word to the user's alarm.
func TestTornLog(t *testing.T) {
	s := newSite(t)
	s.killed(5000)
	path, n := s.segment()
	change(t, path, func(b []byte) []byte {
		torn := make([]byte, 300)
		for i := range torn {
			torn[i] = byte(rand.Uint32())
		}
		return append(b[:n], torn...)
	})
	s.feed(1000)
	s.works("--segment-bytes", "1Mi")
	s.complete()
}

// TestTruncatedLog cuts into frames that were committed, which no crash does: what they held is forgotten, so a copy of
// such a record may pass, but no record is lost and the relay does not refuse to start.
func TestTruncatedLog(t *testing.T) {
	s := newSite(t)
	s.killed(5000)
	path, n := s.segment()
	require.NoError(t, os.Truncate(path, int64(n-20)))
	s.feed(1000)
	s.works("--segment-bytes", "1Mi")
	judge := newTally(s.plan, s.input)
	require.NoError(t, s.b.read(s.output, deadline(t, time.Minute), judge.add))
	t.Log(judge)
	require.Zero(t, judge.lost()+judge.disordered+judge.foreign, judge.notes)
}
