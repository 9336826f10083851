package engine

import (
	"math/bits"
	"sync"
	"unsafe"
)

// directory of a table: 1<<depth pages, of which several may be the same.
type directory []*page

// keptDirBytes bounds the directories of one size that are kept for later.
const keptDirBytes = 1 << 20

// directories keeps those that tables do not use any more: a table begins with a directory of one page, which doubles with it a dozen times, and
// each time would be an allocation in the middle of a Check. Safe for concurrent use.
type directories struct {
	mu   sync.Mutex
	free [maxDepth + 1][]directory // by depth; protected by mu
}

// get returns a directory of 1<<depth entries, with whatever it holds.
func (d *directories) get(depth uint8) directory {
	d.mu.Lock()
	defer d.mu.Unlock()
	free := d.free[depth]
	if n := len(free); n > 0 {
		d.free[depth] = free[:n-1]
		return free[n-1]
	}
	return make(directory, 1<<depth)
}

// put takes a directory back.
func (d *directories) put(dir directory) {
	depth := bits.TrailingZeros(uint(len(dir)))
	d.mu.Lock()
	defer d.mu.Unlock()
	if free := d.free[depth]; int64(len(free)+1)*dir.bytes() <= keptDirBytes {
		d.free[depth] = append(free, dir)
	}
}

func (d directory) bytes() int64 { return int64(len(d)) * int64(unsafe.Sizeof(d[0])) }

// tableMemory is what tables are made of.
type tableMemory struct {
	*pool[page]
	dirs directories
}

func newTableMemory() *tableMemory { return &tableMemory{pool: newPool[page]()} }
