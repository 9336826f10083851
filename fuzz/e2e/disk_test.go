//go:build linux

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFullDisk fills the file system of the data directory while the relay works. It must stop, say why, and lose nothing; with
// space again, it goes on.
func TestFullDisk(t *testing.T) {
	s := newSite(t)
	err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=64m")
	if errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a small tmpfs needs root")
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(s.dir, syscall.MNT_DETACH)) })

	small := []string{"--segment-bytes", "1Mi", "--memory-bytes", "4Mi"}
	relay := start(t, s.command(small...))
	s.feed(20_000)
	s.drains(relay)
	filler := filepath.Join(s.dir, "filler")
	fill(t, filler)
	s.feed(300_000)
	s.fails(relay, exitFailed, "no space left on device")

	// Still full: refused again, or stopped again, and nothing gets lost by trying.
	s.fails(start(t, s.command(small...)), exitFailed, "no space left on device")

	require.NoError(t, os.Remove(filler))
	s.works(small...)
	s.complete()
}

// fill writes until the file system has no byte left.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}
