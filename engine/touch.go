package engine

import "noecho/bloom"

// Touching: before a chunk is decided, the lines of memory that its decisions will read are loaded.
//
// The naive way is to decide one key after the other. Each looks into the filter and into tables, all of them larger than the caches, and each
// look depends on the one before: tags, then the slot, then the verdict. That is 100 ns of waiting for each. But a processor loads ten lines
// in the time of one, if nothing between the loads depends on them. So the same looks are done for the whole chunk, in short loops, whose
// results mean nothing: the decisions that come after do it all once more, in order, from the cache.

// touch asks the filter for the chunk, and has the lines of the tables come in.
func (s *shard) touch(hs []bloom.Hash) {
	if s.active != nil {
		s.sink += s.active.touch(hs, true)
	}
	for _, t := range s.bare {
		s.sink += t.touch(hs, false)
	}
	// What the filter says holds for the whole chunk: it changes under mu only, and never here.
	s.filter.TestAll(hs, s.masks[:])
	s.touchKnown(hs)
	s.lookAhead(hs)
}

// touch loads the tags of all hashes, and then the slots whose tags match. In the active table it also loads those that the others would go into:
// nothing waits for a write, but the processor can have only so many under way, and waits when all of them wait for memory. The sum keeps
// the compiler from dropping the loads.
func (t *table) touch(hs []bloom.Hash, active bool) (sink uint64) {
	shift := 64 - t.depth
	for i := range hs {
		sink += t.dir[hs[i].Hi>>shift].tags[homeOf(hs[i])]
	}
	for i := range hs {
		g, home := t.dir[hs[i].Hi>>shift], homeOf(hs[i])
		m := matches(g.tags[home], tagOf(hs[i]))
		if m == 0 && active {
			m = ^g.tags[home] & highBits
		}
		if m != 0 {
			s := &g.slots[slotAt(home, m)]
			sink += s.hi + s.val // a slot may lie on two lines
		}
	}
	return sink
}

// known names the records of a chunk by a byte each.
const _ = uint8(chunkRecords - 1)

// touchBuckets bounds the buckets whose tables are touched ahead: with thousands of them to a window, each would be gone through for every chunk.
const touchBuckets = 8

// touchKnown does the same in the tables that are in the filter, for the keys that it may hold in their bucket: copies, mostly.
func (s *shard) touchKnown(hs []bloom.Hash) {
	left := touchBuckets
	for at := len(s.buckets) - 1; at >= 0 && left > 0; at-- {
		b := &s.buckets[at]
		if len(b.tables) == 0 || b.bit == 0 {
			continue
		}
		left--
		rest := s.known[:0]
		for i := range hs {
			if s.masks[i]&b.bit != 0 {
				rest = append(rest, uint8(i))
			}
		}
		for j := len(b.tables) - 1; j >= 0 && len(rest) > 1; j-- { // one alone has nothing to overlap with
			if t := b.tables[j]; t.planted > 0 {
				rest = s.touchIn(t, hs, rest)
			}
		}
	}
}

// touchIn touches t for the keys of the chunk that rest names. It returns those that t does not seem to hold, in rest.
func (s *shard) touchIn(t *table, hs []bloom.Hash, rest []uint8) []uint8 {
	shift, sink := 64-t.depth, uint64(0)
	for _, i := range rest {
		h := &hs[i]
		sink += t.dir[h.Hi>>shift].tags[homeOf(*h)]
	}
	n := 0
	for _, i := range rest {
		h := &hs[i]
		g, home := t.dir[h.Hi>>shift], homeOf(*h)
		m := matches(g.tags[home], tagOf(*h))
		if m == 0 {
			rest[n] = i
			n++
			continue
		}
		slot := &g.slots[slotAt(home, m)]
		sink += slot.hi + slot.val
	}
	s.sink += sink
	return rest[:n]
}
