package engine

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/internal/index"
)

// InspectFS is Inspect on any file system.
func InspectFS(fs vfs.FS, dir string) (Report, error) { return inspect(fs, dir) }

// CheckIndex reads the whole index of a closed store.
func CheckIndex(fs vfs.FS, dir string) error {
	x, err := index.Open(fs.PathJoin(dir, indexDir), index.Options{FS: fs, ReadOnly: true})
	if err != nil {
		return err
	}
	defer x.Close()
	return x.Check()
}

// Kept makes an engine keep the plane of every bucket that has ended.
func Kept(o Options) Options {
	o.leastKept = 1
	return o
}

// Ahead makes an engine do its lookups ahead once it has done one.
func Ahead(o Options) Options {
	o.slow = 1
	return o
}

// Cold makes an engine evict sealed tables at once, so that what is sealed is looked up in the index.
func Cold(o Options) Options {
	o.maxHot = -1
	return o
}
