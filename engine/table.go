package engine

import (
	"noecho/bloom"
	"noecho/internal/index"
)

// A table maps 128-bit hashes to offsets for the marks of one bucket. It is made of pages of equal size, found through
// a directory by the top bits of the hash (extendible hashing: Fagin et al., TODS 1979). The naive table is one slice
// that doubles when it is full: at a million keys that copies tens of megabytes inside one Check, and a thousand
// partitions each own a slice sized for their worst day. With pages a split moves at most one page (microseconds), a new
// table is one page, all pages are alike and are reused between tables and partitions, and a page holds a contiguous
// range of hashes, so that reading a table out in order needs no large sort.

// maxDepth bounds the directory: 1 M pages, 8 MiB; reached only by hashes that are no hashes.
const maxDepth = 20

// table: see above. While it is active it is owned by its shard (shard.mu). Once frozen it is immutable until its seal
// is installed, because the keeper reads it without a lock; after that the shard may write tombstones into it.
type table struct {
	dir    directory // of depth
	depth  uint8
	n      int // marks and tombstones
	pages  int
	pool   *tableMemory
	bucket int64

	// Set by freeze, immutable afterwards.
	meta     []byte   // the partition's state up to this table, written with it
	gen      uint64   // of meta
	firstPos position // the oldest WAL frame with content of this table
	forgets  []bucketHash

	trail   []*trailBlock // marks in the order of the log; immutable like the rest, and given back by the seal
	scarred bool          // the trail is not to be stored; under shard.mu

	planted      int    // directory entries whose pages are in the filter; under shard.mu
	plantedMarks int    // marks in these
	sealed       bool   // in the index; under shard.mu
	order        uint64 // of the seals; the lowest is evicted first; under shard.mu
}

const bucketHashBytes = 24

// bucketHash names a mark.
type bucketHash struct {
	bucket int64
	hash   bloom.Hash
}

func newTable(bucket int64, pool *tableMemory) *table {
	t := &table{pool: pool, bucket: bucket, pages: 1, dir: pool.dirs.get(0)}
	t.dir[0] = newPage(pool)
	return t
}

func (t *table) page(h bloom.Hash) *page { return t.dir[h.Hi>>(64-t.depth)] }

// get returns the value of a hash: its offset plus one, tombstone, or 0 when there is none.
func (t *table) get(h bloom.Hash) uint64 {
	g := t.page(h)
	if i, found := g.find(h); found {
		return g.slots[i].val
	}
	return 0
}

// put sets the value of a hash. It reports false, and changes nothing, when the page is full and cannot be split: the
// table must be frozen then.
func (t *table) put(h bloom.Hash, val uint64) bool {
	for {
		g := t.page(h)
		i, found := g.find(h)
		if found {
			g.slots[i].val = val
			return true
		}
		if g.n < pageFull {
			g.fill(i, slot{hi: h.Hi, lo: h.Lo, val: val})
			t.n++
			return true
		}
		if !t.split(g, h) {
			return false
		}
	}
}

// split divides the full page g, in which h belongs, by its next hash bit.
func (t *table) split(g *page, h bloom.Hash) bool {
	if g.depth == t.depth {
		if t.depth == maxDepth {
			return false
		}
		t.depth++
		dir := t.pool.dirs.get(t.depth)
		for i, q := range t.dir {
			dir[2*i], dir[2*i+1] = q, q
		}
		t.pool.dirs.put(t.dir)
		t.dir = dir
	}
	left, right := newPage(t.pool), newPage(t.pool)
	left.depth, right.depth = g.depth+1, g.depth+1
	bit := uint64(1) << (63 - g.depth)
	for x := range g.filled {
		dst := left
		if x.hi&bit != 0 {
			dst = right
		}
		i, _ := dst.find(bloom.Hash{Hi: x.hi, Lo: x.lo})
		dst.fill(i, *x)
	}
	// The directory entries of g are contiguous: the first half points left now, the second right.
	span := 1 << (t.depth - g.depth)
	at := int(h.Hi>>(64-t.depth)) &^ (span - 1)
	for i := range span {
		if i < span/2 {
			t.dir[at+i] = left
		} else {
			t.dir[at+i] = right
		}
	}
	t.pool.put(g)
	t.pages++
	return true
}

// bytes is the memory the table holds.
func (t *table) bytes() int64 {
	return int64(t.pages)*pageBytes + t.dir.bytes() + int64(len(t.forgets))*bucketHashBytes + int64(len(t.trail))*trailBlockBytes
}

// release gives the pages back. The table must not be used afterwards.
func (t *table) release() {
	for i := 0; i < len(t.dir); {
		g := t.dir[i]
		i += 1 << (t.depth - g.depth)
		t.pool.put(g)
	}
	if t.dir != nil { // it is nil where the table only carries a state
		t.pool.dirs.put(t.dir)
	}
	t.dir, t.pages, t.n = nil, 0, 0
}

// entries yields the table's marks in ascending order of the hash; tombstones have offset -1. A page's hashes share
// their top bits, so the next bits are a good key for one counting pass, and an insertion sort does the rest.
func (t *table) entries(yield func(index.Entry) bool) {
	var out [pageSlots]index.Entry
	for i := 0; i < len(t.dir); {
		g := t.dir[i]
		i += 1 << (t.depth - g.depth)
		for _, e := range g.sorted(&out) {
			if !yield(e) {
				return
			}
		}
	}
}

// offsetOf turns a slot's value into an offset; -1 for a tombstone.
func offsetOf(val uint64) int64 {
	if val == tombstone {
		return -1
	}
	return int64(val - 1)
}
