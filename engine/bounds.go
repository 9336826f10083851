package engine

import (
	"context"
	"math"
	"time"
)

// bound drops the oldest bucket of all partitions, early, as long as the store is over MaxKeys or MaxBytes. The window
// shrinks, and that is said. It reports whether anything was dropped. Called with keeperMu held.
func (e *Engine) bound(ctx context.Context) (shrunk bool, err error) {
	if e.opt.MaxKeys == 0 && e.opt.MaxBytes == 0 {
		return false, nil
	}
	for {
		bytes, err := e.storedBytes()
		if err != nil {
			return shrunk, err
		}
		s, last := e.oldestBucket()
		if !e.over(bytes) || s == nil {
			break
		}
		if last && e.opt.OnFull == Fail {
			if !e.full.Swap(true) {
				e.logger.Error("the store is full and its current bucket alone is over the limit: nothing is taken in any more",
					"max_keys", e.opt.MaxKeys, "max_bytes", e.opt.MaxBytes)
			}
			return shrunk, nil
		}
		done, err := e.shrink(ctx, s, last)
		if err != nil {
			return shrunk, err
		}
		shrunk = shrunk || done
	}
	e.full.Store(false)
	return shrunk, nil
}

func (e *Engine) over(bytes int64) bool {
	return (e.opt.MaxKeys > 0 && e.keys.Load() > e.opt.MaxKeys) || (e.opt.MaxBytes > 0 && bytes > e.opt.MaxBytes)
}

// storedBytes is what the store takes on disk: the log, and the index's live tables. A log above WALBytes is about to be
// sealed and given back; dropping buckets would not make it any shorter.
func (e *Engine) storedBytes() (int64, error) {
	if e.opt.MaxBytes == 0 {
		return 0, nil
	}
	total := min(e.log.Metrics().Bytes, e.opt.WALBytes)
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

// shrink drops the oldest bucket of a shard, or empties its current one, and says so. done=false: there was nothing to drop any
// more, because a commit was faster or a new bucket was opened.
func (e *Engine) shrink(ctx context.Context, s *shard, last bool) (done bool, err error) {
	s.mu.Lock()
	if n := len(s.buckets); n == 0 || last != (n == 1) {
		s.mu.Unlock()
		return false, nil
	}
	w, err := s.giveUp(last)
	pos := s.lastPos
	s.mu.Unlock()
	if err != nil {
		return false, err
	}
	// That the bucket went must be known before its marks are gone, or a crash between would leave a bucket that looks whole.
	if err := e.log.Sync(ctx, pos); err != nil {
		return false, err
	}
	e.shrunk.Add(1)
	e.logger.Warn("the store is over its limit: the window shrinks", "topic", w.Topic, "partition", w.Partition,
		"keys_dropped", w.Keys, "effective_window", w.Effective, "current_bucket", w.Current,
		"max_keys", e.opt.MaxKeys, "max_bytes", e.opt.MaxBytes)
	if f := e.opt.Events.WindowShrunk; f != nil {
		f(w)
	}
	return true, e.cutDrops(ctx)
}

// giveUp drops the oldest bucket, or what the current one holds, and cuts the frame that says so. Called by the keeper only, mu
// held.
func (s *shard) giveUp(last bool) (WindowShrunk, error) {
	w := WindowShrunk{Topic: s.topic, Partition: s.partition, Current: last}
	if last {
		w.Keys = s.current().keys
		s.floor = s.current().num + 1
		s.emptyCurrent()
	} else {
		w.Keys = s.buckets[0].keys
		s.floor = max(s.floor, s.buckets[0].num+1)
		s.dropOldest(1)
	}
	w.Effective = s.effectiveWindow()
	s.begin(s.from())
	s.enc.Floor(uint64(s.floor))
	return w, s.cutFrame()
}

// emptyCurrent removes every mark of the current bucket; the bucket itself, and what is taken in from now on, stays.
// Called with mu held, by the keeper or while the log is replayed, so that no table is being sealed: those that wait keep
// their state, and lose their marks. What the index holds must be cut out before anything of the bucket is sealed again.
func (s *shard) emptyCurrent() {
	b := s.current()
	s.empties(b)
	for _, t := range s.unsealed {
		if t.bucket == b.num {
			before := t.bytes()
			t.release() // what it forgets stays with it
			s.e.unsealed.Add(t.bytes() - before)
			t.bucket = -1
		}
	}
	if s.active != nil {
		s.active.release()
		s.active = nil
	}
	if s.filter == nil {
		return
	}
	// The marks' bits are still in the plane: the bucket goes on in another one, or in this one once it is cleared, unless
	// an older bucket shares it. Bits that stay only cost lookups.
	b.bit = 0
	s.freePlanes()
	s.see()
}

// effectiveWindow is the window that holds for sure: Window, unless a bucket inside it was dropped early (an emptied one
// counts from the next bucket on). mu held.
func (s *shard) effectiveWindow() time.Duration {
	if len(s.buckets) == 0 {
		return s.e.opt.Window
	}
	cur := s.current().num
	if s.floor == 0 || s.floor <= cur-int64(s.e.opt.Buckets) {
		return s.e.opt.Window
	}
	return time.Duration(max(cur-s.floor, 0)*s.e.delta) * time.Millisecond
}
