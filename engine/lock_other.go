//go:build !unix

package engine

import (
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lockDir takes the data directory for this process, with the file system's own lock.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	l, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("%w (%s: %v)", ErrLocked, dir, err)
	}
	return l, nil
}
