package engine

import (
	"context"

	"noecho/bloom"
	"noecho/internal/index"
)

// Gathering: what the filter has of an ended bucket in several layers is brought into one, from the index.
//
// A bucket that got more keys than the one before it foretold, and the first one always, is in a chain of layers, and every lookup of
// a window asks all of them: a line of memory each. The bucket has ended, and the index has all its hashes, in the order of the
// filter's blocks; to read them costs 0.1 us a key, once, and a partition at a steady rate never does. A goroutine reads, the
// planter adds what it brings.

// gatherChunk is how many hashes are added under one hold of the lock.
const gatherChunk = 2048

// gathering is one under way. The planter owns it, but for what the reading goroutine sends.
type gathering struct {
	bucket int64
	hashes chan []bloom.Hash // closed when all were read, or err is set
	used   chan []bloom.Hash // given back
	err    error
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
}

// gatherSome begins a gathering, or goes on with it, and reports whether there is more to do at once. Called by the planter with mu held.
func (s *shard) gatherSome() bool {
	g := s.gather
	if g == nil {
		return s.beginGather()
	}
	select {
	case hs, more := <-g.hashes:
		alive := s.find(g.bucket) != nil
		if more && alive && s.filter.GatherAdd(hs) {
			g.used <- hs
			return true
		}
		g.cancel()
		s.gather = nil
		s.filter.GatherEnd(!more && alive && g.err == nil)
		if !more && g.err != nil && alive {
			s.find(g.bucket).scattered = true
			s.e.logger.Warn("a bucket's part of the filter stays in several places: lookups take longer", "topic", s.topic,
				"partition", s.partition, "bucket", g.bucket, "err", g.err)
		}
		return true
	default:
		return false // the goroutine tells
	}
}

// beginGather looks for a bucket that has ended, is whole in the index and in the filter, has a plane of its own, and lies in several layers.
func (s *shard) beginGather() bool {
	if s.maybe != 0 || s.rebuild != nil || s.e.closed.Load() {
		return false
	}
	for i := 0; i < len(s.buckets)-1; i++ {
		b := &s.buckets[i]
		if !b.scattered && b.stored && s.ownPlane(i) && s.allEvictable(b) && s.filter.GatherBegin(b.plane()) {
			s.startGather(b.num)
			return true
		}
	}
	return false
}

// startGather sends a goroutine to read the hashes of a bucket.
func (s *shard) startGather(bucket int64) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gathering{bucket: bucket, hashes: make(chan []bloom.Hash, 1), used: make(chan []bloom.Hash, 3), cancel: cancel, done: make(chan struct{})}
	for range cap(g.used) {
		g.used <- make([]bloom.Hash, 0, gatherChunk)
	}
	s.gather = g
	go func() {
		defer s.e.sow()
		defer close(g.done)
		defer cancel()
		g.err = s.readHashes(ctx, g)
		close(g.hashes)
	}()
}

func (s *shard) readHashes(ctx context.Context, g *gathering) error {
	hs := (<-g.used)[:0]
	send := func() error {
		select {
		case g.hashes <- hs:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.e.sow()
		select {
		case hs = <-g.used:
			hs = hs[:0]
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := s.e.index.Scan(ctx, s.id, uint64(g.bucket), uint64(g.bucket)+1, func(_ uint64, e index.Entry) error {
		if hs = append(hs, bloom.Hash{Hi: e.Hi, Lo: e.Lo}); len(hs) == cap(hs) {
			return send()
		}
		return nil
	})
	if err == nil {
		err = send()
	}
	return err
}

// stopGather gives up the gathering, and waits for its goroutine. Called without mu, when the planter has ended or while the shard is in no map.
func (s *shard) stopGather() {
	s.mu.Lock()
	g := s.gather
	s.gather = nil
	if s.filter != nil {
		s.filter.GatherEnd(false)
	}
	s.mu.Unlock()
	if g != nil {
		g.cancel()
		<-g.done
	}
}
