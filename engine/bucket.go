package engine

import (
	"math/bits"
	"slices"

	"noecho/bloom"
)

// openBucket makes num the current bucket, from offset first on. The active table belongs to the bucket before it and
// is frozen. A number that is not newer is ignored, so that replaying a frame twice does no harm.
func (s *shard) openBucket(num, first int64) error {
	if len(s.buckets) > 0 && num <= s.current().num {
		return nil
	}
	if s.active != nil && s.active.n > 0 {
		if err := s.freeze(); err != nil {
			return err
		}
	}
	if s.active != nil {
		s.active.bucket = num
	}
	s.buckets = append(s.buckets, bucket{num: num, first: first, since: s.sinceOf(num)})
	if c := s.trail.cache; c != nil && !c.used {
		s.trail.cache = nil // nobody has republished the past for a bucket's time
	} else if c != nil {
		c.used = false
	}
	if !s.replaying {
		s.begin(s.fromBefore(first))
		s.enc.Boundary(uint64(num), first)
	}
	s.see()
	return nil
}

// sinceOf is the stream time at which bucket num is opened, where that is known: frames that are replayed do not say it.
func (s *shard) sinceOf(num int64) int64 {
	if s.replaying || s.streamTime/s.e.delta != num {
		return 0
	}
	return s.streamTime
}

// ownPlane says whether the bucket at a position has a plane of the filter that neither neighbour has. Called with mu held.
func (s *shard) ownPlane(i int) bool {
	bit := s.buckets[i].bit
	return bit != 0 && (i == 0 || bit != s.buckets[i-1].bit) && (i == len(s.buckets)-1 || bit != s.buckets[i+1].bit)
}

// planeShare is how many consecutive buckets share a plane of the filter. G+1 buckets are visible and one more may wait
// for its clearing; where they outnumber the planes, neighbours share, so that planes still die in order.
func planeShare(g int) int {
	return (g + 2 + bloom.Planes - 1) / bloom.Planes
}

// nextPlane chooses the plane of a bucket that gets its first marks into the filter; buckets get theirs in order. It is the one
// before while that may be shared, else a free one. Where none is free (commits lag far behind), the last is shared on: more
// lookups, same answers. ok=false: planes are free, but still being cleared.
func (s *shard) nextPlane() (plane int, ok bool) {
	var used, last bloom.Mask
	shared := 0
	for i := range s.buckets {
		b := &s.buckets[i]
		used |= b.bit
		if b.bit != 0 && b.bit != last {
			last, shared = b.bit, 0
		}
		if b.bit != 0 {
			shared++
		}
	}
	busy := used | s.maybe
	if last == 0 || shared >= planeShare(s.e.opt.Buckets) {
		for p := range bloom.Planes {
			if !(busy | s.clearing).Has(p) {
				return p, true
			}
		}
		if s.clearing&^busy != 0 {
			return 0, false
		}
	}
	return bits.TrailingZeros8(uint8(last | 1<<(bloom.Planes-1))), true
}

// see recomputes which planes a new record can see. Called whenever buckets change.
func (s *shard) see() {
	s.visible = 0
	if len(s.buckets) == 0 {
		return
	}
	low := s.current().num - int64(s.e.opt.Buckets)
	for i := s.lowest(low); i < len(s.buckets); i++ {
		s.visible |= s.buckets[i].bit
	}
}

// dropOldest removes the n oldest buckets: their tables now, their marks in the index when the keeper comes to it, their
// planes piece by piece (planter). Called with mu held; never removes the current bucket.
func (s *shard) dropOldest(n int) {
	if n <= 0 {
		return
	}
	for i := range n {
		s.empties(&s.buckets[i])
	}
	s.buckets = slices.Delete(s.buckets, 0, n) // clears what is behind: it would hold second opinions
	s.freePlanes()
	s.see()
	s.e.wake()
}

// empties releases everything a bucket holds and notes what the keeper has to cut out of the index.
func (s *shard) empties(b *bucket) {
	s.bare = slices.DeleteFunc(s.bare, func(t *table) bool { return t.bucket == b.num })
	for _, t := range b.tables {
		if t.sealed {
			s.dead = append(s.dead, t)
		} // else the keeper has it, or will skip it: it releases the table
	}
	b.tables = nil
	s.e.keys.Add(-int64(b.keys))
	b.keys = 0
	if b.stored {
		s.drops = append(s.drops, dropRange{from: b.num, to: b.num + 1, plane: b.kept})
		b.kept = false
		s.trail.cache = nil
		b.stored, b.cold = false, false
		b.second, b.later = nil, nil // they may have marks that are gone, and no more
	}
	for f := range s.forgotten {
		if f.bucket == b.num {
			delete(s.forgotten, f)
		}
	}
}

// freePlanes starts the clearing of planes that no bucket uses any more.
func (s *shard) freePlanes() {
	if s.filter == nil {
		return
	}
	var used bloom.Mask
	for i := range s.buckets {
		used |= s.buckets[i].bit
	}
	for p := range bloom.Planes {
		if bit := bloom.Mask(1) << p; used&bit == 0 && s.maybe&bit == 0 && s.filter.Count(p) > 0 {
			s.clearing |= bit
		}
	}
	if s.clearing != 0 {
		s.e.sow()
	}
}

// expire drops the buckets that are dead by the offset whose commit is durable. Called with mu held.
func (s *shard) expire() {
	c := s.indexOf(s.durable - 1)
	if c < 0 {
		return
	}
	dead := s.lowest(s.buckets[c].num - int64(s.e.opt.Buckets))
	s.dropOldest(min(dead, len(s.buckets)-1))
}
