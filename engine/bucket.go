package engine

import "noecho/bloom"

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
	hint := uint64(0)
	if len(s.buckets) > 0 {
		hint = s.current().keys
	}
	s.buckets = append(s.buckets, bucket{num: num, first: first, plane: s.nextPlane(hint)})
	if !s.replaying {
		s.begin(s.fromBefore(first))
		s.enc.Boundary(uint64(num), first)
	}
	s.see()
	return nil
}

// planeShare is how many consecutive buckets share a plane of the filter. G+1 buckets are visible and one more may wait
// for its clearing; where they outnumber the planes, neighbours share, so that planes still die in order.
func planeShare(g int) int {
	return (g + 2 + bloom.Planes - 1) / bloom.Planes
}

// nextPlane chooses the plane of a new bucket: the current one while it may be shared, else a free one. Where none is
// free (commits lag far behind), the current one is shared on: more lookups, same answers.
func (s *shard) nextPlane(hint uint64) int {
	if s.filter == nil {
		return 0 // assigned when the partition is claimed
	}
	var used bloom.Mask
	last, shared := -1, 0
	for i := range s.buckets {
		b := &s.buckets[i]
		used |= 1 << b.plane
		if b.plane == last {
			shared++
		} else {
			last, shared = b.plane, 1
		}
	}
	if last >= 0 && shared < planeShare(s.e.opt.Buckets) {
		return last
	}
	free := -1
	for p := range bloom.Planes {
		bit := bloom.Mask(1) << p
		if used&bit != 0 || s.maybe&bit != 0 {
			continue
		}
		if s.clearing&bit == 0 {
			free = p
			break
		}
		if free < 0 {
			free = p
		}
	}
	if free < 0 {
		return max(last, 0)
	}
	if bit := bloom.Mask(1) << free; s.clearing&bit != 0 {
		// Every free plane is still being cleared: finish this one now. Commits come at least a bucket apart from each
		// other's deaths, so in practice the clearing is long over.
		for !s.filter.ClearSome(free, 1<<20) {
		}
		s.clearing &^= bit
	}
	s.filter.Open(free, hint)
	return free
}

// see recomputes which planes a new record can see. Called whenever buckets change.
func (s *shard) see() {
	s.visible = 0
	if len(s.buckets) == 0 {
		return
	}
	low := s.current().num - int64(s.e.opt.Buckets)
	for i := s.lowest(low); i < len(s.buckets); i++ {
		s.visible |= 1 << s.buckets[i].plane
	}
}

// clearSome goes on clearing the planes of dead buckets: a bounded piece with each chunk, because clearing a plane of a
// large filter at once would stall Check for milliseconds.
func (s *shard) clearSome() {
	if s.clearing == 0 || s.filter == nil {
		return
	}
	for p := range bloom.Planes {
		if s.clearing&(1<<p) != 0 {
			if s.filter.ClearSome(p, 64<<10) {
				s.clearing &^= 1 << p
			}
			return
		}
	}
}

// dropOldest removes the n oldest buckets: their tables now, their marks in the index when the keeper comes to it, their
// planes bit by bit. Called with mu held; never removes the current bucket.
func (s *shard) dropOldest(n int) {
	if n <= 0 {
		return
	}
	for i := range n {
		s.empties(&s.buckets[i])
	}
	s.buckets = append(s.buckets[:0], s.buckets[n:]...)
	s.freePlanes()
	s.see()
	s.e.wake()
}

// empties releases everything a bucket holds and notes what the keeper has to cut out of the index.
func (s *shard) empties(b *bucket) {
	for _, t := range b.tables {
		if t.sealed {
			t.release()
		} // else the keeper has it, or will skip it: it releases the table
	}
	b.tables = nil
	s.e.keys.Add(-int64(b.keys))
	b.keys = 0
	if b.stored {
		s.drops = append(s.drops, dropRange{b.num, b.num + 1})
		b.stored, b.cold = false, false
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
		used |= 1 << s.buckets[i].plane
	}
	for p := range bloom.Planes {
		if bit := bloom.Mask(1) << p; used&bit == 0 && s.maybe&bit == 0 && s.filter.Count(p) > 0 {
			s.clearing |= bit
		}
	}
}

// expire drops the buckets that are dead by the committed offset. Called with mu held, after the commit is durable.
func (s *shard) expire() {
	c := s.indexOf(s.committed - 1)
	if c < 0 {
		return
	}
	dead := s.lowest(s.buckets[c].num - int64(s.e.opt.Buckets))
	s.dropOldest(min(dead, len(s.buckets)-1))
}
