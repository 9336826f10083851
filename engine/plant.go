package engine

import "noecho/bloom"

// Planting: the marks of a frozen table are put into the filter, after the fact and away from Check.
//
// The naive way adds a key to the filter when it is taken in. That reads and writes four random lines of a filter much larger
// than the caches, for each new key, in the one goroutine that cannot be shared. But the marks of the active table need no
// filter: the table is asked anyway, because the key may have to go into it. So a table is planted when it is frozen: in
// the order of its pages, which is the order of the blocks, the same lines come one after the other; and what
// Check reads does not change while it decides a chunk, so the lookups of a chunk are one loop (bloom.Filter.TestAll).
//
// Until a table is planted it is "bare", and every search asks it: at most some milliseconds for the newest table, as long as
// the planter keeps up. Invariant: a mark is in a table that is active or bare, or in the plane of its bucket, or the plane
// is in maybe.
//
// The planter is one goroutine for all partitions. It does everything that takes time with the filters: planting, clearing the planes of
// dead buckets, taking memory; piece by piece, each under the shard's lock for some 20 us.

const (
	plantPages = 8        // of a table under one hold of the lock: about 2200 marks
	clearBytes = 64 << 10 // of a filter, likewise
)

// sow tells the planter that there may be work. Never blocks; may be called with any lock held.
func (e *Engine) sow() {
	select {
	case e.planterKick <- struct{}{}:
	default:
	}
}

// plantTables is the planter. It runs until stop is closed.
func (e *Engine) plantTables() {
	defer close(e.planterDone)
	for {
		select {
		case <-e.stop:
			return
		case <-e.planterKick:
		}
		for _, s := range e.shards() {
			for s.tend() {
				select {
				case <-e.stop:
					return
				default:
				}
			}
		}
	}
}

// tend does one piece of work on the filter, and reports whether there may be more. Called by the planter, or by Close
// once that has ended: never by two, and nobody else changes a filter.
func (s *shard) tend() bool {
	s.lockAfterChecks()
	if s.filter == nil {
		s.mu.Unlock()
		return false
	}
	if s.rebuilt != nil {
		s.adoptRebuilt()
		s.mu.Unlock()
		return true
	}
	plan := s.planting()
	if plan.table == nil || plan.apply == nil {
		more := true
		if plan.table != nil {
			s.plantSome(plan.table, plan.plane)
		} else {
			s.dropSecond()
			more = s.clearSome() || s.gatherSome() || s.keepSome()
		}
		s.mu.Unlock()
		return more
	}
	s.mu.Unlock()
	apply := plan.apply()
	s.lockAfterChecks()
	defer s.mu.Unlock()
	if apply != nil {
		apply()
	}
	return true
}

// planting is what to do next: plant a piece of table in plane, after the filter was given room by apply where that is not nil: its slow
// part, to be called without the lock, returns the rest.
type planting struct {
	table *table
	plane int
	apply func() func()
}

// planting chooses a plane for the oldest bare table and looks whether the filter has room for it. No table: there is none, or planes
// must be cleared first. Called with mu held.
func (s *shard) planting() planting {
	if len(s.bare) == 0 {
		return planting{}
	}
	t, filter := s.bare[0], s.filter
	b := s.find(t.bucket)
	if b.bit == 0 {
		plane, ok := s.nextPlane()
		if !ok {
			return planting{}
		}
		b.bit = 1 << plane
		s.see()
		if !b.cold {
			b.second = new(bloom.Second)
		}
		if hint := s.expected(b.num); hint > 0 {
			return planting{t, plane, func() func() { return filter.Plan(plane, hint) }}
		}
	}
	p := planting{table: t, plane: b.plane()}
	rest := uint64(t.n - t.plantedMarks)
	if second := b.planted(); second != nil && second.Room() < rest {
		more := s.expected(b.num)
		if b.later != nil {
			more -= min(more, b.keys) // most of what it has got is read from the index
		}
		more = max(more, rest)
		p.apply = func() func() { return second.Grow(more) }
		return p
	}
	if filter.Room(p.plane) < rest {
		// Nobody foresaw these. Where nothing is known of the bucket it may become much larger than it is: fewer, larger steps.
		more := filter.Count(p.plane)
		if s.lowest(b.num) == 0 {
			more *= 3
		}
		p.apply = func() func() { return filter.Chain(p.plane, max(rest, more)) }
	}
	return p
}

// maxStretch bounds what expected makes of a bucket of which only the end was seen.
const maxStretch = 16

// expected is how many keys a bucket will get: as many as the one before it got, and where that one did not begin at its beginning, because
// the partition was new, as many as it would have got. The first one has the caller's word. 0: not known.
func (s *shard) expected(num int64) uint64 {
	i := s.lowest(num)
	if i == 0 {
		return uint64(s.e.opt.ExpectedKeys) / uint64(s.e.opt.Buckets)
	}
	b := &s.buckets[i-1]
	seen := (b.num+1)*s.e.delta - b.since
	if b.first > s.start || b.since <= b.num*s.e.delta || seen <= 0 {
		return b.keys // a later bucket that begins late is one of a partition whose records come in bursts
	}
	return uint64(float64(b.keys) * min(float64(s.e.delta)/float64(seen), maxStretch))
}

// plantSome puts the next pages of t into the filter. Called with mu held.
func (s *shard) plantSome(t *table, plane int) {
	second := s.find(t.bucket).planted()
	for n := 0; n < plantPages && t.planted < len(t.dir); n++ {
		g := t.dir[t.planted]
		for x := range g.filled {
			h := bloom.Hash{Hi: x.hi, Lo: x.lo}
			s.filter.Add(h, plane)
			if second != nil {
				second.Add(h)
			}
		}
		t.planted += 1 << (t.depth - g.depth)
		t.plantedMarks += g.n
	}
	if t.planted == len(t.dir) {
		s.bare = append(s.bare[:0], s.bare[1:]...)
		if t.sealed {
			s.e.wake() // it may be evicted now
		}
	}
}

// dropSecond lets go of a second opinion that is no longer worth its memory: its bucket has ended and its stack was merged. It decides
// nothing, so nothing depends on the moment. Called with mu held.
func (s *shard) dropSecond() {
	for i := 0; i < len(s.buckets)-1; i++ {
		b := &s.buckets[i]
		if b.second != nil && s.allEvictable(b) && !s.e.index.Unsettled(s.id, uint64(b.num)) {
			b.second = nil
		}
	}
}

// clearSome goes on clearing the planes of dead buckets, and reports whether there is more to clear: a bounded piece, because clearing
// a plane of a large filter at once would stall Check for milliseconds. Called with mu held.
func (s *shard) clearSome() bool {
	for p := range bloom.Planes {
		if s.clearing.Has(p) {
			if s.filter.ClearSome(p, clearBytes) {
				s.clearing &^= 1 << p
			}
			return true
		}
	}
	return false
}
