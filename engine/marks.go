package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"noecho/bloom"
)

// Marks for another store. A store that has lost its disk, or was elsewhere, can be told what this one has taken in without the
// records themselves: hash, offset and stream time are all that the rule needs.
//
// Told are the records that change what the rule sees: the originals, and also a duplicate that opens a bucket, or renews its
// mark where duplicates do that. The naive way tells the originals with their own timestamps. But what decides the bucket of a
// mark is the stream time, which a duplicate in between may have moved: the mark would come into an older bucket and expire early.
// And a duplicate is told as what it is, because its original may be too old to be told: it must not own the key.

// Mark is a record as a store remembers it.
type Mark struct {
	Hash   bloom.Hash
	Offset int64
	First  int64 // of the record that owns the key: Offset, but for a duplicate
	// Time is the stream time when it was taken in, or one in the same bucket, in milliseconds since the epoch.
	Time int64
}

// CheckMarks is Check, and appends to marks what another store must be told of the records so that it comes to know what this
// one does: see TakeIn. Records that were taken in before are told again. After an error the marks are those of the verdicts.
func (p *Partition) CheckMarks(recs []Record, dst []Verdict, marks []Mark) ([]Verdict, []Mark, error) {
	dst, err := p.timed(recs, dst, &marks)
	return dst, marks, err
}

// tell appends what is to be told of a record that was decided; stored: it may have left a mark. Called with mu held.
func (s *shard) tell(marks []Mark, h bloom.Hash, o int64, v Verdict, stored bool) []Mark {
	at := s.indexOf(o)
	if at < 0 {
		return marks // its bucket is gone: nobody needs it
	}
	b := &s.buckets[at]
	if v.Kind == Duplicate && b.first != o && !(stored && s.e.opt.Refresh) {
		return marks
	}
	ms := b.num * s.e.delta
	if at == len(s.buckets)-1 && o+1 == s.to {
		ms = s.streamTime
	}
	return append(marks, Mark{Hash: h, Offset: o, First: v.First, Time: ms})
}

// TakeIn takes in what another store was told by CheckMarks, in ascending order of offsets. Its marks must be hashed as ours are
// (see HashID). What lies below the coverage's end is passed over: this store knows it.
func (p *Partition) TakeIn(marks []Mark) error {
	s := p.s
	for i := range marks {
		if i > 0 && marks[i].Offset <= marks[i-1].Offset {
			return &OrderError{Topic: s.topic, Partition: s.partition, Index: i, Offset: marks[i].Offset, Previous: marks[i-1].Offset}
		}
	}
	for len(marks) > 0 {
		if err := s.e.admit(); err != nil {
			return err
		}
		n := min(len(marks), chunkRecords)
		err := ErrClosed
		s.lockCheck()
		if !p.closed {
			err = s.takeInMarks(marks[:n])
		}
		s.unlockCheck()
		if err != nil {
			return err
		}
		marks = marks[n:]
	}
	return nil
}

// takeInMarks takes in at most chunkRecords marks. Called with mu held.
func (s *shard) takeInMarks(marks []Mark) error {
	hs := s.hashes[:len(marks)]
	for i := range marks {
		hs[i] = marks[i].Hash
	}
	s.touch(hs)
	limit := s.e.clockLimit() // as for records: the clock that believed it may have been the broken one
	var err error
	for i := range marks {
		m := &marks[i]
		if m.Offset < s.to && !s.empty {
			continue
		}
		ts := m.Time
		if ts > limit {
			s.clockLead(&Record{Offset: m.Offset, Timestamp: ts}, limit)
			ts = -1
		}
		if m.First == m.Offset {
			_, err = s.takeIn(m.Offset, ts, hs[i], s.masks[i])
		} else {
			err = s.takeInCopy(m, ts, s.masks[i])
		}
		if err != nil {
			break
		}
	}
	return s.endChunk(err)
}

// takeInCopy takes in a duplicate as the store did that told it, whatever this one knows of its original.
func (s *shard) takeInCopy(m *Mark, ts int64, mask bloom.Mask) error {
	if err := s.advance(m.Offset, ts); err != nil {
		return err
	}
	renew := s.e.opt.Refresh
	if renew {
		hit, err := s.owner(m.Offset, m.Hash, mask)
		if err != nil {
			return err
		}
		renew = hit.offset < 0 || hit.bucket != s.current().num
	}
	if s.empty {
		s.empty, s.start, s.to = false, m.Offset, m.Offset
	}
	if renew {
		if err := s.remember(m.Hash, m.First); err != nil {
			return err
		}
	}
	s.to, s.changed = m.Offset+1, true
	s.count(Duplicate)
	return nil
}

// StreamTime returns the largest timestamp taken in, in milliseconds since the epoch; 0: none.
func (p *Partition) StreamTime() int64 {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.streamTime
}

// Hash returns a key's hash as this store's marks hold it.
func (e *Engine) Hash(key []byte) bloom.Hash { return e.hash.sum(key) }

// HashID names what makes marks fit for a store: hash, seed, window, buckets, refresh and key. Stores with the same take each other's
// marks. It tells nothing of the seed. shared says that the seed was given in the options, and is not one that only this store
// knows.
func (e *Engine) HashID() (id uint64, shared bool) {
	h := &e.header
	sum := sha256.Sum256(fmt.Appendf(nil, "noecho marks %s %s %d %d %q %v", h.Hash, h.Seed, h.WindowMs, h.Buckets, h.KeySpec, e.opt.Refresh))
	return binary.LittleEndian.Uint64(sum[:]), e.opt.Seed != nil
}
