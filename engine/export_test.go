package engine

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/bloom"
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

// Reread makes an engine call f when a rebuild has read the index.
func Reread(o Options, f func() error) Options {
	o.reread = f
	return o
}

// Cold makes an engine evict sealed tables at once, so that what is sealed is looked up in the index.
func Cold(o Options) Options {
	o.maxHot = -1
	return o
}

// TableAllocs is the allocations of filling a table with so many marks, when another one was filled and released before.
func TableAllocs(marks int) float64 {
	memory, trails := newTableMemory(), newTrailMemory()
	t := new(table)
	return testing.AllocsPerRun(1, func() {
		*t = table{pool: memory, pages: 1, dir: memory.dirs.get(0)}
		t.dir[0] = newPage(memory)
		for i := range uint64(marks) {
			h := bloom.Hash{Hi: i * 0x9e3779b97f4a7c15, Lo: i}
			t.put(h, i+1)
			t.follow(h, int64(i), trails)
		}
		t.dropTrail(trails)
		t.release()
	})
}
