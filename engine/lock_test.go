package engine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
)

// diskOptions are those of the tests on the real file system.
func diskOptions() engine.Options {
	return engine.Options{Window: time.Minute, MemoryBytes: 1 << 20, CacheBytes: 1 << 20, SegmentBytes: 64 << 10}
}

// TestOneOwner: a directory has one owner, whatever name it is opened by, and gives itself up with Close.
func TestOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e, err := engine.Open(dir, diskOptions())
	require.NoError(t, err)
	link := filepath.Join(filepath.Dir(dir), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, name := range []string{dir, link, filepath.Join(dir, "..", "data")} {
		_, err := engine.Open(name, diskOptions())
		require.ErrorIs(t, err, engine.ErrLocked, name)
		require.ErrorContains(t, err, name[:len(filepath.Dir(dir))], "the sentence names the directory")
		_, err = engine.Inspect(name)
		require.ErrorIs(t, err, engine.ErrLocked, name)
	}
	// The refused ones closed their descriptors: with a lock by fcntl that would have given ours up.
	require.Contains(t, openElsewhere(t, dir), "in use by another process")
	require.NoError(t, e.Close())
	require.Equal(t, "opened", openElsewhere(t, dir))
	require.Equal(t, "opened", tryOpen(link))
}

// openElsewhere opens the store in another process.
func openElsewhere(t *testing.T, dir string) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openDirVar+"="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

// TestFailedOpenGivesUpTheLock: an Open that was refused for another reason does not keep the directory.
func TestFailedOpenGivesUpTheLock(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, "opened", tryOpen(dir))
	o := diskOptions()
	o.Window = time.Hour
	_, err := engine.Open(dir, o)
	var other *engine.IncompatibleError
	require.ErrorAs(t, err, &other)
	require.Equal(t, "opened", tryOpen(dir))
}

// TestDirectoryIsPrivate: the header holds the secret seed.
func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.Equal(t, "opened", tryOpen(dir))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
}
