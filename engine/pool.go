package engine

import (
	"sync"
	"sync/atomic"
)

// pagePool hands out table pages and takes them back. Fresh pages come from the heap (they hold no pointers, so
// the collector never scans them); returned ones are kept for the next table, so that a store in its steady state
// allocates nothing. Safe for concurrent use.
type pagePool struct {
	used atomic.Int64 // pages handed out; read by the keeper and by metrics

	mu   sync.Mutex
	free []*page // protected by mu; at most keep of them
	keep int     // immutable: the memory budget in pages
}

func newPagePool(budget int64) *pagePool {
	return &pagePool{keep: int(budget / pageBytes)}
}

// get returns an empty page.
func (p *pagePool) get() *page {
	p.used.Add(1)
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		g := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		*g = page{}
		return g
	}
	p.mu.Unlock()
	return new(page)
}

// put takes a page back.
func (p *pagePool) put(g *page) {
	p.used.Add(-1)
	p.mu.Lock()
	if len(p.free) < p.keep {
		p.free = append(p.free, g)
	}
	p.mu.Unlock()
}

// bytes is the memory of the pages in use.
func (p *pagePool) bytes() int64 { return p.used.Load() * pageBytes }
