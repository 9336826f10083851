package engine

import (
	"time"

	"noecho/bloom"
)

// mark as a search finds it; offset -1: none.
type mark struct{ bucket, offset int64 }

// search looks for a mark of h that the record at offset o can see, in the buckets from position at down to number low:
// in all of a bucket whose plane is in mask, and in what is not in the filter of the others. It stops at the first mark with an offset <= o: the marks of a key that one record can see all
// carry the same offset (a second owner appears only where the first is out of sight, and a refreshed mark copies its
// owner), and a record that meets its own mark saw no other one when it was made. A mark with a larger offset belongs to a later
// record and is passed by. Called with mu held; 0 allocations.
func (s *shard) search(h bloom.Hash, o, low int64, at int, mask bloom.Mask) (mark, error) {
	asked, found := false, false
	for i := at; i >= 0; i-- {
		b := &s.buckets[i]
		if b.num < low {
			break
		}
		whole := mask&b.bit != 0
		offset, err := s.lookIn(b, h, whole)
		asked = asked || whole
		if err != nil {
			return mark{offset: -1}, err
		}
		if offset >= 0 {
			found = true
			if offset <= o {
				return mark{b.num, offset}, nil
			}
		}
	}
	if asked && !found && s.maybe == 0 {
		s.counts.falsePositives++
	}
	return mark{offset: -1}, nil
}

// lookIn returns the offset of a key's mark in a bucket, -1 when it has none there. Tables first, the newest first: it
// may hold a tombstone that hides an older one. The index is asked only for what no table holds. Where whole is false, only
// what the filter does not know is asked: the active table, and bare ones, which are the newest.
func (s *shard) lookIn(b *bucket, h bloom.Hash, whole bool) (int64, error) {
	if t := s.active; t != nil && t.bucket == b.num {
		if v := t.get(h); v != 0 {
			return offsetOf(v), nil
		}
	}
	if c := s.trail.cache; c != nil && whole {
		// Before the tables: a bucket whose tables might hide a mark of the index is scarred, and the cache has nothing of it.
		if offset := c.get(b.num, h); offset >= 0 {
			s.counts.trailHits++
			return offset, nil
		}
	}
	for i := len(b.tables) - 1; i >= 0; i-- {
		t := b.tables[i]
		if !whole && t.planted == len(t.dir) {
			return -1, nil
		}
		if v := t.get(h); v != 0 {
			return s.unlessForgotten(b, h, offsetOf(v)), nil
		}
	}
	if !whole || !b.indexMayHold(h) {
		return -1, nil
	}
	r, err := s.openReader()
	if err != nil {
		return -1, err
	}
	s.counts.indexLookups++
	begin := time.Now()
	offset, ok, err := r.Get(s.id, uint64(b.num), h.Hi, h.Lo)
	s.pace.note(time.Since(begin))
	if err != nil {
		return -1, s.e.fail(err)
	}
	if !ok {
		return -1, nil
	}
	if offset = s.unlessForgotten(b, h, offset); offset >= 0 {
		err = s.found(b, offset)
	}
	return offset, err
}

// unlessForgotten hides marks of older buckets that were forgotten and not yet removed from tables and index.
func (s *shard) unlessForgotten(b *bucket, h bloom.Hash, offset int64) int64 {
	if len(s.forgotten) == 0 || b.num == s.current().num {
		return offset
	}
	if _, gone := s.forgotten[bucketHash{b.num, h}]; gone {
		return -1
	}
	return offset
}
