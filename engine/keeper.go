package engine

import (
	"context"
	"slices"
)

// maxHotTables bounds the sealed tables a shard keeps readable, whatever the memory budget allows: a search visits all
// tables of a bucket.
const maxHotTables = 64

// maxL0Sublevels is where the keeper waits for Pebble's compactions. Ingestion itself is never stalled by L0, so without
// this a fast producer would pile up runs of one bucket, and every lookup would visit each of them.
const maxL0Sublevels = 12

// wake tells the keeper that there may be work. Never blocks; may be called with any lock held.
func (e *Engine) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// logged wakes the keeper once a segment's worth of log: partitions that only commit, or see nothing but duplicates,
// never fill a table, and would hold back the end of the log for ever.
func (e *Engine) logged(n int) {
	if e.sinceRound.Add(int64(n)) > e.opt.SegmentBytes {
		e.sinceRound.Store(0)
		e.wake()
	}
}

// keep is the keeper: the one goroutine that writes to the index. It runs until stop is closed.
func (e *Engine) keep() {
	defer close(e.keeperDone)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-e.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case <-e.stop:
			return
		case <-e.kick:
		}
		for {
			// Not under keeperMu: claims of new partitions and Drop need not wait for compactions.
			err := e.index.WaitL0(ctx, maxL0Sublevels)
			more := false
			if err == nil {
				e.keeperMu.Lock()
				more, err = e.round(ctx)
				e.keeperMu.Unlock()
			}
			if err != nil {
				if ctx.Err() == nil {
					_ = e.fail(err) // recorded; every later call returns it
				}
				return
			}
			if !more {
				break
			}
		}
	}
}

// round does everything there is to do once; more=true asks for another round. Called with keeperMu held.
func (e *Engine) round(ctx context.Context) (more bool, err error) {
	more, err = e.seal(ctx)
	if err != nil {
		return false, err
	}
	if err := e.cutDrops(ctx); err != nil {
		return false, err
	}
	e.releaseDead()
	// Before the bounds: what was just sealed is in the index and in the log, and must not count twice.
	if err := e.giveBackLog(); err != nil {
		return false, err
	}
	shrunk, err := e.bound(ctx)
	if err != nil {
		return false, err
	}
	e.evict()
	pressed, err := e.press()
	return more || shrunk || pressed, err
}

// cutDrops excises dead buckets from the index.
func (e *Engine) cutDrops(ctx context.Context) error {
	for _, s := range e.shards() {
		s.lockAfterChecks()
		drops := s.drops
		s.drops = nil
		s.mu.Unlock()
		for len(drops) > 0 {
			// Neighbours that nothing alive lies between go in one cut.
			d, n := drops[0], 1
			for ; n < len(drops) && drops[n].from == d.to && drops[n].trail == d.trail && drops[n].plane == d.plane; n++ {
				d.to = drops[n].to // never of planes together with the rest: that may reach down to number 0
			}
			drop := e.index.DropBuckets
			if d.trail {
				drop = e.index.DropTrail
			}
			if err := drop(ctx, s.id, uint64(d.from), uint64(d.to)); err != nil {
				s.lockAfterChecks()
				s.drops = append(drops, s.drops...)
				s.mu.Unlock()
				return err
			}
			if d.plane {
				e.removePlanes(s.id, d.from, d.to)
			}
			drops = drops[n:]
		}
	}
	return nil
}

// hot is a sealed table that could be evicted.
type hot struct {
	s     *shard
	order uint64
}

// evict gives back sealed tables, the oldest seals first, until the memory budget holds. Their marks are in the index.
func (e *Engine) evict() {
	var all []hot
	limit := e.memory.Load() * 3 / 4
	over := e.tableBytes() > limit
	for _, s := range e.shards() {
		s.lockAfterChecks()
		n := 0
		for i := range s.buckets {
			for _, t := range s.buckets[i].tables {
				if s.evictable(t) {
					n++
					all = append(all, hot{s, t.order})
				}
			}
		}
		s.mu.Unlock()
		for ; n > e.opt.maxHot; n-- {
			e.evictOldest(s)
		}
	}
	if !over {
		return
	}
	slices.SortFunc(all, func(a, b hot) int { return compare(a.order, b.order) })
	for _, h := range all {
		if e.tableBytes() <= limit {
			return
		}
		e.evictOldest(h.s)
	}
}

// evictOldest gives back the shard's oldest sealed table.
func (e *Engine) evictOldest(s *shard) {
	if t := s.detachOldest(); t != nil {
		t.release()
	}
}

// detachOldest takes the shard's oldest sealed table away from it, so that no Check sees it any more.
func (s *shard) detachOldest() *table {
	s.lockAfterChecks()
	defer s.mu.Unlock()
	for i := range s.buckets {
		b := &s.buckets[i]
		// The tables of a bucket are sealed and planted in order, so the first one is the first that may go.
		if len(b.tables) > 0 && s.evictable(b.tables[0]) {
			t := b.tables[0]
			b.tables = slices.Delete(b.tables, 0, 1)
			b.cold = true
			return t
		}
	}
	return nil
}

// releaseDead gives back the tables of dead buckets. Not where the bucket dies, in a commit: a table of a million marks has 2,500
// pages, each a miss, and a Check would wait for the shard's lock meanwhile.
func (e *Engine) releaseDead() {
	for _, s := range e.shards() {
		s.lockAfterChecks()
		dead := s.dead
		s.dead = nil
		s.mu.Unlock()
		for _, t := range dead {
			t.release()
		}
	}
}

// tableBytes is the memory of all tables and their trails.
func (e *Engine) tableBytes() int64 { return e.pool.bytes() + e.trails.bytes() }

// evictable says whether all marks of t are in the index and in the filter. Called with mu held.
func (s *shard) evictable(t *table) bool {
	return t.sealed && (s.filter == nil || t.planted == len(t.dir))
}

// allEvictable says so of all tables of a bucket. Called with mu held.
func (s *shard) allEvictable(b *bucket) bool {
	return !slices.ContainsFunc(b.tables, func(t *table) bool { return !s.evictable(t) })
}

// oldest is the first position of the log the shard still needs; ok=false when it needs none.
func (s *shard) oldest() (position, bool) {
	for _, t := range s.unsealed {
		if t.firstPos != 0 {
			return t.firstPos, true
		}
	}
	return s.firstPos, s.firstPos != 0
}

// giveBackLog lets the log recycle segments whose every mark is in the index.
func (e *Engine) giveBackLog() error {
	end := e.log.End() // before the shards are looked at: later frames are above it
	for _, s := range e.shards() {
		s.lockAfterChecks()
		if pos, ok := s.oldest(); ok {
			end = min(end, pos)
		}
		s.mu.Unlock()
	}
	return e.log.Truncate(end)
}

// press freezes what stands in the way: the largest active tables while they alone are over the memory budget (many
// partitions, none of them full), and, while the log is longer than WALBytes, the partition that needs the oldest of it.
// What is frozen already is on its way. It must not be waited for: where one partition is always sealing, the others
// would hold back the log for ever.
func (e *Engine) press() (bool, error) {
	pressed := false
	if excess := e.tableBytes() - e.unsealed.Load() - e.memory.Load(); excess > 0 {
		var all []active
		for _, s := range e.shards() {
			s.lockAfterChecks()
			if s.active != nil && s.active.n > 0 {
				all = append(all, active{s, s.active.bytes()})
			}
			s.mu.Unlock()
		}
		slices.SortFunc(all, func(a, b active) int { return compare(b.bytes, a.bytes) })
		for i := 0; i < len(all) && excess > 0; i++ {
			if err := all[i].s.freezeLocking(); err != nil {
				return pressed, err
			}
			pressed = true
			excess -= all[i].bytes
		}
	}
	if e.log.Metrics().Bytes <= e.opt.WALBytes {
		return pressed, nil
	}
	if s := e.holdsLog(); s != nil {
		return true, s.freezeLocking()
	}
	return pressed, nil
}

// active is a shard with the bytes of its active table.
type active struct {
	s     *shard
	bytes int64
}

// holdsLog finds the shard that needs the oldest frame of the log, unless that one is on its way into the index, or the
// log could not be cut there anyway.
func (e *Engine) holdsLog() (s *shard) {
	oldest := e.log.End()
	for _, x := range e.shards() {
		x.lockAfterChecks()
		if pos, ok := x.oldest(); ok && pos < oldest {
			oldest, s = pos, nil
			if pos == x.firstPos {
				s = x
			}
		}
		x.mu.Unlock()
	}
	if oldest.Segment() == e.log.End().Segment() {
		return nil
	}
	return s
}

func (s *shard) freezeLocking() error {
	s.lockAfterChecks()
	defer s.mu.Unlock()
	return s.freeze()
}
