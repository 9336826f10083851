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

// rereadsAtOnce is how many partitions read nothing but the second opinion at a time.
const rereadsAtOnce = 2

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
		began := time.Now()
		f, fromFiles, err := s.readBuckets(ctx, rs, loaded)
		if err == nil && s.e.opt.reread != nil {
			err = s.e.opt.reread()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rebuild = nil
		switch {
		case err != nil:
			if b := s.find(rs[len(rs)-1].num); b != nil {
				b.later = nil
			}
			if ctx.Err() != nil {
				return
			}
			what := "rebuilding the filter failed: lookups stay exact but slow"
			if loaded {
				what = "the second filter of the current bucket could not be read from the index: lookups in it take longer"
			}
			s.e.logger.Error(what, "topic", s.topic, "partition", s.partition, "err", err)
			return
		case loaded:
			s.e.logger.Info("second filter of the current bucket read from the index", "topic", s.topic, "partition", s.partition, "keys", rs[0].second.Count(),
				"took", time.Since(began).Round(time.Millisecond))
		default:
			s.e.logger.Info("filter rebuilt", "topic", s.topic, "partition", s.partition, "buckets", len(rs), "from_files", fromFiles,
				"took", time.Since(began).Round(time.Millisecond))
		}
		s.rebuilt = &rebuilt{f, rs}
		s.e.sow()
	}()
}

// readBuckets reads what a rebuild is about. With a saved filter that holds, nothing waits for it, and a thousand partitions that are claimed at once take turns.
func (s *shard) readBuckets(ctx context.Context, rs []refill, loaded bool) (f bloom.Filter, fromFiles int, err error) {
	if loaded {
		select {
		case s.e.rereads <- struct{}{}:
			defer func() { <-s.e.rereads }()
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		s.mu.Lock()
		if b := s.find(rs[0].num); b != nil {
			rs[0].keys = max(rs[0].keys, b.keys) // what came meanwhile is read, too
		}
		s.mu.Unlock()
	} else {
		f = s.newRefilled(rs)
	}
	for i := range rs {
		fromFile, err := s.refillFrom(ctx, f, rs[i])
		if err != nil {
			return nil, 0, err
		}
		if fromFile {
			fromFiles++
		} else if f != nil && f.Kind() == FilterSliced {
			rs[i].kept = false // its file was refused and removed: it is written anew
		}
	}
	return f, fromFiles, nil
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
