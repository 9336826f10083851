package engine

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"noecho/internal/hugepage"
)

// slabBytes is what the pool takes from the heap at a time: enough for huge pages.
const slabBytes = 32 << 20

// pagePool hands out table pages and takes them back. It takes memory in slabs, because pages that come one by one from the
// heap lie on small pages of the machine, and each touch of a table is then a miss of the translation buffers as well. Slabs
// grow from 16 pages to slabBytes, so that a small store stays small, and the pool keeps what it has: at most what the
// tables once took together, which MemoryBytes bounds. Pages hold no pointers, so the collector never scans them, and in
// its steady state a store allocates nothing. Safe for concurrent use.
type pagePool struct {
	used atomic.Int64 // pages handed out; read by the keeper and by metrics

	mu   sync.Mutex
	free []*page // protected by mu
	slab []page  // protected by mu: the rest of the newest slab
	next int     // protected by mu: pages of the next slab
}

const (
	firstSlab = 16
	largeSlab = slabBytes / int(pageBytes)
)

func newPagePool() *pagePool { return &pagePool{next: firstSlab} }

// get returns an empty page.
func (p *pagePool) get() *page {
	p.used.Add(1)
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		g := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		g.reset()
		return g
	}
	if len(p.slab) == 0 {
		p.slab = newSlab(p.next)
		p.next = min(2*p.next, largeSlab)
	}
	g := &p.slab[0]
	p.slab = p.slab[1:]
	p.mu.Unlock()
	return g
}

// newSlab returns n empty pages.
func newSlab(n int) []page {
	raw := hugepage.Bytes(n * int(pageBytes))
	return unsafe.Slice((*page)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}

// put takes a page back.
func (p *pagePool) put(g *page) {
	p.used.Add(-1)
	p.mu.Lock()
	p.free = append(p.free, g)
	p.mu.Unlock()
}

// bytes is the memory of the pages in use.
func (p *pagePool) bytes() int64 { return p.used.Load() * pageBytes }
