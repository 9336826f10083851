package engine

import "noecho/bloom"

// trailCache holds the marks of the last blocks that were read from the trail: two tables, of which the older one is emptied when the newer
// one is full. A list by age would be exact, and cost more for each mark than reading the block does. 512 KiB.
type trailCache struct {
	gens [2][]cached // open addressing, linear probing; gens[0] takes the puts
	n    int         // marks in gens[0]
	used bool        // it has answered since the current bucket was opened
}

// cached is a mark of the index. val is its offset plus one; 0 where the place is free.
type cached struct {
	hi, lo uint64
	bucket int64
	val    uint64
}

const (
	cacheSlots = 1 << 13
	cacheFull  = cacheSlots / 2 // four blocks
)

func newTrailCache() *trailCache {
	return &trailCache{gens: [2][]cached{make([]cached, cacheSlots), make([]cached, cacheSlots)}}
}

// get returns the offset of a mark, -1 when it is not here.
func (c *trailCache) get(bucket int64, h bloom.Hash) int64 {
	for _, g := range c.gens {
		for i := h.Lo % cacheSlots; g[i].val != 0; i = (i + 1) % cacheSlots {
			if x := &g[i]; x.lo == h.Lo && x.hi == h.Hi && x.bucket == bucket {
				c.used = true
				return offsetOf(x.val)
			}
		}
	}
	return -1
}

// put adds a mark that is not here.
func (c *trailCache) put(bucket int64, h bloom.Hash, offset int64) {
	if c.n == cacheFull {
		c.gens[0], c.gens[1] = c.gens[1], c.gens[0]
		clear(c.gens[0])
		c.n = 0
	}
	g := c.gens[0]
	i := h.Lo % cacheSlots
	for g[i].val != 0 {
		i = (i + 1) % cacheSlots
	}
	g[i] = cached{hi: h.Hi, lo: h.Lo, bucket: bucket, val: uint64(offset) + 1}
	c.n++
}
