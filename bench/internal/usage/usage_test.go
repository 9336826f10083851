package usage

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSelf(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	before := Self()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1<<20), 0o600))
	for begin := time.Now(); Self().Sub(before).CPU < 30*time.Millisecond; {
		require.Less(t, time.Since(begin), 10*time.Second)
	}
	used := Self().Sub(before)
	require.Positive(t, used.Mallocs)
	require.InDelta(t, Of(os.Getpid()).CPU.Seconds(), Self().CPU.Seconds(), 0.1, "both ways to ask say the same")
	require.Greater(t, RSS(0), int64(1<<20))
	now := Trimmed()
	require.Greater(t, PeakRSS(0)+4<<20, now, "the kernel counts in batches")
	require.InDelta(t, 1<<20, Disk(dir), 64<<10)
	free, err := Free(dir)
	require.NoError(t, err)
	require.Positive(t, free)
	_, err = Free(filepath.Join(dir, "nothing"))
	require.ErrorContains(t, err, "nothing")
}

func TestNoSuchProcess(t *testing.T) {
	require.Zero(t, Of(1<<30))
	require.Zero(t, RSS(1<<30))
	require.Zero(t, Disk("/nowhere"))
}
