package engine

import (
	"context"
	"slices"
)

// maxHotTables bounds the sealed tables a shard keeps readable, whatever the memory budget allows: a search visits all
// tables of a bucket.
const maxHotTables = 64

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
			e.keeperMu.Lock()
			more, err := e.round(ctx)
			e.keeperMu.Unlock()
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
	shrunk, err := e.bound(ctx)
	if err != nil {
		return false, err
	}
	e.evict()
	if err := e.giveBackLog(); err != nil {
		return false, err
	}
	pressed, err := e.press()
	return more || shrunk || pressed, err
}

// cutDrops excises dead buckets from the index.
func (e *Engine) cutDrops(ctx context.Context) error {
	for _, s := range e.shards() {
		s.mu.Lock()
		drops := s.drops
		s.drops = nil
		s.mu.Unlock()
		for i := 0; i < len(drops); {
			// Neighbours that nothing alive lies between go in one cut.
			d := drops[i]
			for i++; i < len(drops) && drops[i].from == d.to; i++ {
				d.to = drops[i].to
			}
			if err := e.index.DropBuckets(ctx, s.id, uint64(d.from), uint64(d.to)); err != nil {
				return err
			}
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
	over := e.pool.bytes() > e.opt.MemoryBytes*3/4
	for _, s := range e.shards() {
		s.mu.Lock()
		n := 0
		for i := range s.buckets {
			for _, t := range s.buckets[i].tables {
				if t.sealed {
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
		if e.pool.bytes() <= e.opt.MemoryBytes*3/4 {
			return
		}
		e.evictOldest(h.s)
	}
}

// evictOldest gives back the shard's oldest sealed table.
func (e *Engine) evictOldest(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.buckets {
		b := &s.buckets[i]
		// The tables of a bucket are sealed in order, so the first one is sealed before the others.
		if len(b.tables) > 0 && b.tables[0].sealed {
			b.tables[0].release()
			b.tables = slices.Delete(b.tables, 0, 1)
			b.cold = true
			return
		}
	}
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
		s.mu.Lock()
		if pos, ok := s.oldest(); ok {
			end = min(end, pos)
		}
		s.mu.Unlock()
	}
	return e.log.Truncate(end)
}

// press freezes tables that stand in the way: the largest one while the tables are over the memory budget (many
// partitions, none of them full), the ones with the oldest frames while the log is longer than WALBytes.
func (e *Engine) press() (bool, error) {
	if e.unsealed.Load() > 0 {
		return false, nil // what is on its way may be enough
	}
	var victim *shard
	if e.pool.bytes() > e.opt.MemoryBytes {
		best := 0
		for _, s := range e.shards() {
			s.mu.Lock()
			if s.active != nil && s.active.n > best {
				victim, best = s, s.active.n
			}
			s.mu.Unlock()
		}
	} else if e.log.Metrics().Bytes > e.opt.WALBytes {
		best := e.log.End()
		for _, s := range e.shards() {
			s.mu.Lock()
			if pos, ok := s.oldest(); ok && pos < best {
				victim, best = s, pos
			}
			s.mu.Unlock()
		}
	}
	if victim == nil {
		return false, nil
	}
	victim.mu.Lock()
	defer victim.mu.Unlock()
	return true, victim.freeze()
}
