package engine

import (
	"context"
	"time"

	"noecho/bloom"
)

// rebuild fills a filter of its own in the background: from the planes that were kept, and the index. And it fills the second opinion on
// the bucket that is current, which no file has: a stack of runs that nobody asks for a second opinion is read from top to
// bottom for each error of the filter, until the next bucket begins.
type rebuild struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// rebuilt is what it brought.
type rebuilt struct {
	filter  bloom.Filter // nil: the saved one holds
	buckets []refill
}

// startRebuild: called with mu held, when the shard is claimed for the first time and nothing of its tables is planted.
func (s *shard) startRebuild(loaded bool) {
	var rs []refill
	for i := range s.buckets {
		b := &s.buckets[i]
		if !b.cold {
			continue
		}
		r := refill{num: b.num, plane: b.plane(), keys: b.keys, kept: b.kept}
		if i == len(s.buckets)-1 {
			r.kept = false // a file of its plane would not do
			r.second, b.later = new(bloom.Second), new(bloom.Second)
		} else if loaded {
			continue
		}
		rs = append(rs, r)
	}
	if len(rs) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rebuild{cancel: cancel, done: make(chan struct{})}
	s.rebuild = r
	go func() {
		defer close(r.done)
		defer cancel()
		var f bloom.Filter
		if !loaded {
			f = s.newRefilled(rs)
		}
		began, fromFiles := time.Now(), 0
		var err error
		for i := 0; i < len(rs) && err == nil; i++ {
			var fromFile bool
			if fromFile, err = s.refillFrom(ctx, f, rs[i]); fromFile {
				fromFiles++
			} else if !loaded && f.Kind() == FilterSliced {
				rs[i].kept = false // its file was refused and removed: it is written anew
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rebuild = nil
		if err != nil {
			if b := s.find(rs[len(rs)-1].num); b != nil {
				b.later = nil
			}
			if ctx.Err() == nil {
				s.e.logger.Error("rebuilding the filter failed: lookups stay exact but slow", "topic", s.topic, "partition", s.partition, "err", err)
			}
			return
		}
		if !loaded {
			s.e.logger.Info("filter rebuilt", "topic", s.topic, "partition", s.partition, "buckets", len(rs), "from_files", fromFiles,
				"took", time.Since(began).Round(time.Millisecond))
		}
		s.rebuilt = &rebuilt{f, rs}
		s.e.sow()
	}()
}

// adoptRebuilt ends a rebuild. Called by the planter with mu held.
func (s *shard) adoptRebuilt() {
	r := s.rebuilt
	s.rebuilt = nil
	for i := range r.buckets {
		b := s.find(r.buckets[i].num)
		if b == nil {
			continue
		}
		if r.filter != nil {
			b.kept = r.buckets[i].kept
		}
		if b.later != nil && r.buckets[i].second != nil {
			b.second = r.buckets[i].second
			b.second.Join(b.later)
			b.later = nil
		}
	}
	if r.filter == nil {
		return
	}
	if err := s.filter.Adopt(r.filter); err != nil {
		s.e.logger.Error("adopting the rebuilt filter", "topic", s.topic, "partition", s.partition, "err", err)
		return
	}
	s.maybe = 0
	s.freePlanes()
	s.see()
}

// stopRebuild cancels the rebuild and waits for it. Called without mu.
func (s *shard) stopRebuild() {
	s.mu.Lock()
	r := s.rebuild
	s.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}
