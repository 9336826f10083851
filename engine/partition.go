package engine

import "noecho/bloom"

// Partition is the single-writer handle of one partition's state. Its methods may be called from several goroutines, one
// at a time each; batches should come from one, because their offsets belong in order.
type Partition struct {
	s      *shard
	topic  *Topic // immutable; nil: this partition is on its own
	closed bool   // protected by s.mu
}

// Committed returns the largest offset given to Commit or CommitStart, in this life of the store or an earlier one; -1: never.
// Right after a start it is what is on stable storage.
func (p *Partition) Committed() int64 {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.committed
}

// Coverage returns the range [start, to) of offsets taken in. Both are 0 when nothing was.
func (p *Partition) Coverage() (start, to int64) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.empty {
		return 0, 0
	}
	return p.s.start, p.s.to
}

// TakenInBefore returns a stream time, in milliseconds since the epoch, below which it was when the record at that offset was
// taken in: the end of the bucket that was current then. So the record's own timestamp is below it too, unless that was
// ignored for being too far ahead of the clock. Not ok: the offset was not taken in, or its bucket is gone.
func (p *Partition) TakenInBefore(offset int64) (ms int64, ok bool) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty || offset >= s.to {
		return 0, false
	}
	switch at := s.indexOf(offset); at {
	case -1:
		return 0, false
	case len(s.buckets) - 1:
		return s.streamTime + 1, true // that bucket has not ended
	default:
		return (s.buckets[at].num + 1) * s.e.delta, true
	}
}

// Lookup says whether the next record in the current bucket with that key would be dropped, and of which offset it
// would be a copy.
func (p *Partition) Lookup(key []byte) (first int64, seen bool, err error) {
	s := p.s
	if err := s.e.healthy(); err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.closed {
		return 0, false, ErrClosed
	}
	if s.empty {
		return 0, false, nil
	}
	defer s.closeReader()
	h := s.e.hash.sum(key)
	mask := (s.filter.Test(h) | s.maybe) & s.visible
	low := s.current().num - int64(s.e.opt.Buckets)
	hit, err := s.search(h, s.to-1, low, len(s.buckets)-1, mask)
	if err != nil || hit.offset < 0 {
		return 0, false, err
	}
	return hit.offset, true, nil
}

// Forget removes the key's marks, so that its next copy passes. It is an operator's act at the head of the partition
// (nothing below the coverage's end left to deliver), durable with the next Commit.
func (p *Partition) Forget(key []byte) error { return p.ForgetHash(p.s.e.hash.sum(key)) }

// ForgetHash is Forget of a key of which only the hash is known: see [Engine.Hash].
func (p *Partition) ForgetHash(h bloom.Hash) error {
	s := p.s
	if err := s.e.admit(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	defer s.closeReader()
	mask := s.filter.Test(h) | s.maybe
	for i := range s.buckets {
		b := &s.buckets[i]
		offset, err := s.lookIn(b, h, mask&b.bit != 0)
		if err != nil {
			return err
		}
		if offset < 0 {
			continue
		}
		num := b.num
		if err := s.forget(bucketHash{num, h}); err != nil {
			return err
		}
		s.begin(s.from())
		s.enc.Forget(uint64(num), h.Hi, h.Lo)
	}
	if len(s.notes) >= maxForgets {
		return s.freeze()
	}
	return nil
}

// forget hides a mark: in the current bucket by a tombstone in the active table, which shadows all older ones; in an
// older bucket, whose tables the keeper may be reading, by a note that the next seal takes along.
func (s *shard) forget(f bucketHash) error {
	b := s.find(f.bucket)
	if b == nil {
		return nil
	}
	s.scar(b)
	if b.keys > 0 {
		b.keys--
		s.e.keys.Add(-1)
	}
	if b.num != s.current().num {
		s.forgotten[f] = struct{}{}
		s.notes = append(s.notes, f)
		return nil
	}
	if s.active == nil {
		s.active = newTable(b.num, s.e.pool)
	}
	if s.active.put(f.hash, tombstone) {
		return nil
	}
	if err := s.freeze(); err != nil {
		return err
	}
	s.active = newTable(b.num, s.e.pool)
	s.active.put(f.hash, tombstone)
	return nil
}

// Close gives the partition back: another handle may claim it. What was not committed is kept in memory and may be
// committed by the next holder. A second Close does nothing.
func (p *Partition) Close() error {
	p.topic.lock()
	defer p.topic.unlock()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.s.claimed = false
	p.topic.leave(p.s)
	return nil
}
