package engine

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"noecho/internal/hugepage"
)

// slabBytes is what the pool takes at a time: enough for huge pages.
const slabBytes = 32 << 20

// pool hands out equal pieces of memory (pages of tables, blocks of trails) and takes them back. It takes memory in slabs, because pages that
// come one by one from the heap lie on small pages of the machine, and each touch of a table is then a miss of the
// translation buffers as well. Slabs grow from 16 pieces to slabBytes, so that a small store stays small, and the pool
// keeps what it has: at most what the tables once took together, which MemoryBytes bounds. Pieces hold no pointers, so
// the collector never scans them, and in its steady state a store allocates nothing. Safe for concurrent use.
type pool[T any] struct {
	used atomic.Int64 // pieces handed out; read by the keeper and by metrics

	mu   sync.Mutex
	free []*T               // protected by mu
	slab []T                // protected by mu: the rest of the newest slab
	next int                // protected by mu: pieces of the next slab
	mem  []*hugepage.Memory // protected by mu: what pieces lie in. Whoever uses a piece keeps the pool
}

const firstSlab = 16

func newPool[T any]() *pool[T] { return &pool[T]{next: firstSlab} }

// get returns a piece, with whatever it holds.
func (p *pool[T]) get() *T {
	p.used.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		g := p.free[n-1]
		p.free = p.free[:n-1]
		return g
	}
	if len(p.slab) == 0 {
		mem := hugepage.New(p.next * p.size())
		p.mem = append(p.mem, mem)
		p.slab = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem.Bytes()))), p.next)
		p.next = min(2*p.next, slabBytes/p.size())
	}
	g := &p.slab[0]
	p.slab = p.slab[1:]
	return g
}

// put takes a piece back.
func (p *pool[T]) put(g *T) {
	p.used.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, g)
}

func (p *pool[T]) size() int {
	var piece T
	return int(unsafe.Sizeof(piece))
}

// bytes is the memory of the pieces in use.
func (p *pool[T]) bytes() int64 { return p.used.Load() * int64(p.size()) }
