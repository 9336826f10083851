//go:build unix

package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lockDir takes the data directory for this process. A lock by fcntl, as databases often take it, belongs to the
// process: a second open through a symbolic link passes, and closing any descriptor of the file gives it up. flock belongs to
// the open file, hence to the inode: it holds against links, relative paths and this very process.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	path := fs.PathJoin(dir, "LOCK")
	if fs != vfs.Default {
		l, err := fs.Lock(path)
		if err != nil {
			return nil, fmt.Errorf("%w (%s: %v)", ErrLocked, dir, err)
		}
		return l, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("engine: opening the lock file: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		if abs, aerr := filepath.Abs(dir); aerr == nil {
			dir = abs
		}
		return nil, fmt.Errorf("%w (%s)", ErrLocked, dir)
	}
	return nil, fmt.Errorf("engine: locking %s: %w", path, err)
}
