package engine

import (
	"context"
	"math"
	"time"
)

// bound drops the oldest bucket of all partitions, early, as long as the store is over MaxKeys or MaxBytes. The window
// shrinks, and that is said. It reports whether anything was dropped. Called with keeperMu held.
func (e *Engine) bound(ctx context.Context) (bool, error) {
	if e.opt.MaxKeys == 0 && e.opt.MaxBytes == 0 {
		return false, nil
	}
	bytes, err := e.storedBytes()
	if err != nil {
		return false, err
	}
	shrunk := false
	for e.over(bytes) {
		s, last := e.oldestBucket()
		if s == nil {
			break
		}
		if last && e.opt.OnFull == Fail {
			if !e.full.Swap(true) {
				e.logger.Error("the store is full and its current bucket alone is over the limit: nothing is taken in any more",
					"max_keys", e.opt.MaxKeys, "max_bytes", e.opt.MaxBytes)
			}
			return shrunk, nil
		}
		freed, err := e.shrink(ctx, s, last)
		if err != nil {
			return shrunk, err
		}
		bytes -= freed
		shrunk = true
		if last {
			break // one at a time: what was emptied shows in the next round
		}
	}
	e.full.Store(false)
	return shrunk, nil
}

func (e *Engine) over(bytes int64) bool {
	return (e.opt.MaxKeys > 0 && e.keys.Load() > e.opt.MaxKeys) || (e.opt.MaxBytes > 0 && bytes > e.opt.MaxBytes)
}

// storedBytes is what the store takes on disk: the log, and the index's live tables.
func (e *Engine) storedBytes() (int64, error) {
	if e.opt.MaxBytes == 0 {
		return 0, nil
	}
	total := e.log.Metrics().Bytes
	for _, s := range e.shards() {
		n, err := e.index.DiskBytes(s.id, 0, math.MaxUint64)
		if err != nil {
			return 0, err
		}
		total += int64(n)
	}
	return total, nil
}

// oldestBucket finds the shard with the oldest bucket that is not current. Where all have only their current one, it is
// the shard with the most keys, and last is true. nil: there is nothing to drop.
func (e *Engine) oldestBucket() (victim *shard, last bool) {
	var most uint64
	var fullest *shard
	oldest := int64(0)
	for _, s := range e.shards() {
		s.mu.Lock()
		if n := len(s.buckets); n > 0 {
			if n > 1 && (victim == nil || s.buckets[0].num < oldest) {
				victim, oldest = s, s.buckets[0].num
			}
			if k := s.current().keys; k > most {
				fullest, most = s, k
			}
		}
		s.mu.Unlock()
	}
	if victim != nil {
		return victim, false
	}
	return fullest, true
}

// shrink drops the oldest bucket of a shard, or empties its current one, and says so. It returns the bytes this frees.
func (e *Engine) shrink(ctx context.Context, s *shard, last bool) (int64, error) {
	s.mu.Lock()
	b := &s.buckets[0]
	if last {
		b = s.current()
	}
	num, keys := b.num, b.keys
	s.mu.Unlock()
	freed := uint64(0)
	if e.opt.MaxBytes > 0 {
		var err error
		if freed, err = e.index.DiskBytes(s.id, uint64(num), uint64(num)+1); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	if last {
		s.emptyCurrent()
	} else {
		s.floor = s.buckets[1].num
		s.begin(s.from())
		s.enc.Floor(uint64(s.floor))
		s.dropOldest(1)
	}
	w := WindowShrunk{Topic: s.topic, Partition: s.partition, Keys: keys, Effective: s.effectiveWindow(), Current: last}
	s.mu.Unlock()
	e.shrunk.Add(1)
	e.logger.Warn("the store is over its limit: the window shrinks", "topic", w.Topic, "partition", w.Partition,
		"keys_dropped", w.Keys, "effective_window", w.Effective, "current_bucket", w.Current,
		"max_keys", e.opt.MaxKeys, "max_bytes", e.opt.MaxBytes)
	if f := e.opt.Events.WindowShrunk; f != nil {
		f(w)
	}
	return int64(freed), e.cutDrops(ctx)
}

// emptyCurrent removes every mark of the current bucket; the bucket itself, and what is taken in from now on, stays.
// Called by the keeper only, with mu held, so that no table is being sealed: those that wait keep their state, and lose
// their marks.
func (s *shard) emptyCurrent() {
	b := s.current()
	s.empties(b)
	for _, t := range s.unsealed {
		if t.bucket == b.num {
			s.e.unsealed.Add(-t.bytes())
			t.release()
			t.bucket = -1
		}
	}
	if s.active != nil {
		s.active.release()
		s.active = nil
	}
	s.floor = b.num
	s.begin(s.from())
	s.enc.Floor(uint64(s.floor))
	if s.filter == nil {
		return
	}
	// The marks' bits are still in the plane. With a fresh plane the old one can be cleared; without, they only cost lookups.
	old := b.plane
	s.buckets = s.buckets[:len(s.buckets)-1]
	fresh := s.nextPlane(0)
	s.buckets = s.buckets[:len(s.buckets)+1]
	if fresh != old {
		b.plane = fresh
		s.freePlanes()
		s.see()
	}
}

// effectiveWindow is the window that holds for sure: Window, unless a bucket inside it was dropped early. mu held.
func (s *shard) effectiveWindow() time.Duration {
	if len(s.buckets) == 0 {
		return s.e.opt.Window
	}
	cur := s.current().num
	if s.floor <= cur-int64(s.e.opt.Buckets) {
		return s.e.opt.Window
	}
	return time.Duration(max(cur-s.floor, 0)*s.e.delta) * time.Millisecond
}
