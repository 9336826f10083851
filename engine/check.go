package engine

import (
	"time"

	"noecho/bloom"
)

// Record is what the engine needs to know of a record. Key is read during Check only and never kept.
type Record struct {
	Key       []byte
	Offset    int64
	Timestamp int64 // milliseconds since the epoch; -1: none
}

// Kind of a verdict.
type Kind uint8

const (
	// Unique: a new record; it owns its key from now on. Handle it.
	Unique Kind = iota
	// Redelivery: a record that was taken in before and is no duplicate; it passes again. Handle it.
	Redelivery
	// Duplicate: a copy of an earlier record. Drop it.
	Duplicate
)

// String returns the kind in lower case, as metrics name it.
func (k Kind) String() string {
	switch k {
	case Unique:
		return "unique"
	case Redelivery:
		return "redelivery"
	case Duplicate:
		return "duplicate"
	}
	return "unknown"
}

// Verdict on a record. First is the offset of the record that owns the key: the record's own unless Kind is Duplicate.
type Verdict struct {
	Kind      Kind
	Elsewhere bool  // a Duplicate of a record in another partition: see Topic
	Partition int32 // that one, where Elsewhere is set; else 0
	First     int64
}

// Check decides a batch of records, whose offsets must ascend (gaps are normal), and appends one verdict a record to
// dst. New records are taken in: they advance the coverage and own their keys at once, but nothing is durable before
// [Partition.Commit]. Records below the coverage are deliveries of what was taken in before: decided, nothing stored.
//
// After an error the verdicts so far are returned. Calling again with the same records, from any of them on, is safe:
// the rule gives the same verdicts, but with Redelivery where it said Unique. Check may wait for the disk when tables are filled
// faster than they can be sealed. It allocates nothing in the steady state.
func (p *Partition) Check(recs []Record, dst []Verdict) ([]Verdict, error) {
	return p.timed(recs, dst, nil)
}

func (p *Partition) timed(recs []Record, dst []Verdict, marks *[]Mark) ([]Verdict, error) {
	f := p.s.e.opt.Events.Check
	if f == nil {
		return p.check(recs, dst, marks)
	}
	begin := time.Now()
	out, err := p.check(recs, dst, marks)
	f(len(recs), time.Since(begin))
	return out, err
}

// check decides. marks, unless nil, gets what is to be told of the records: see CheckMarks.
func (p *Partition) check(recs []Record, dst []Verdict, marks *[]Mark) ([]Verdict, error) {
	s := p.s
	prev := int64(-1)
	for i := range recs {
		if recs[i].Offset <= prev {
			return dst, &OrderError{Topic: s.topic, Partition: s.partition, Index: i, Offset: recs[i].Offset, Previous: prev}
		}
		prev = recs[i].Offset
	}
	for len(recs) > 0 {
		if err := s.e.admit(); err != nil {
			return dst, err
		}
		n := min(len(recs), chunkRecords)
		var err error
		p.topic.lock()
		s.lockCheck()
		if p.closed {
			err = ErrClosed
		} else {
			dst, err = s.checkChunk(recs[:n], dst, marks)
		}
		s.unlockCheck()
		p.topic.unlock()
		if err != nil {
			return dst, err
		}
		recs = recs[n:]
	}
	return dst, nil
}

// checkChunk decides at most chunkRecords records. Called with mu held.
func (s *shard) checkChunk(recs []Record, dst []Verdict, marks *[]Mark) ([]Verdict, error) {
	hs := s.hashes[:len(recs)]
	s.e.hash.sums(recs, hs)
	s.touch(hs)
	limit := s.e.clockLimit()
	var err error
	for i := range recs {
		var v Verdict
		fresh := s.fresh
		if r := &recs[i]; r.Offset >= s.to || s.empty {
			ts := r.Timestamp
			if ts > limit {
				s.clockLead(r, limit)
				ts = -1
			}
			v, err = s.takeIn(r.Offset, ts, hs[i], s.masks[i])
		} else {
			v, err = s.replay(r.Offset, hs[i], s.masks[i])
			fresh--
		}
		if err != nil {
			break
		}
		dst = append(dst, v)
		if marks != nil {
			*marks = s.tell(*marks, hs[i], recs[i].Offset, v, fresh != s.fresh)
		}
	}
	return dst, s.endChunk(err)
}

// endChunk does what is due after a chunk, whose error is passed on.
func (s *shard) endChunk(err error) error {
	s.closeReader()
	s.countFresh()
	if err == nil && s.begun && s.enc.Len() > frameSoftLimit {
		err = s.cutFrame()
	}
	if s.e.tableBytes() > s.e.memory.Load() {
		s.e.wake() // many partitions, none of whose tables is full: no seal is due that would wake the keeper
	}
	return err
}

// takeIn decides a new record (rule, steps 2 to 5). The lookup, which can fail, comes before anything of the record is
// stored but its stream time and its bucket: these come out the same when the record is tried again.
func (s *shard) takeIn(o, ts int64, h bloom.Hash, mask bloom.Mask) (Verdict, error) {
	if err := s.advance(o, ts); err != nil {
		return Verdict{}, err
	}
	hit, err := s.owner(o, h, mask)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Kind: Unique, First: o}
	if hit.offset >= 0 && hit.offset < o {
		v = Verdict{Kind: Duplicate, First: hit.offset}
	} else if s.shared != nil && hit.offset != o {
		var err error
		if v, err = s.shared.judge(s, h, s.current().num, v); err != nil {
			return Verdict{}, err
		}
	}
	if s.empty {
		s.empty, s.start, s.to = false, o, o
	}
	if v.Kind == Unique || (s.e.opt.Refresh && !v.Elsewhere && hit.bucket != s.current().num) {
		if err := s.remember(h, v.First); err != nil {
			return Verdict{}, err
		}
	}
	// The coverage moves last. remember may freeze a table, and with it writes the coverage down: a mark ahead of the
	// coverage is harmless (the record, taken in again, meets its own mark), a coverage ahead of its mark lets a copy pass.
	s.to = o + 1
	s.changed = true
	s.count(v.Kind)
	return v, nil
}

// advance moves the stream time, and opens its bucket.
func (s *shard) advance(o, ts int64) error {
	if s.e.full.Load() {
		return ErrFull // deliveries of what was taken in before are still decided: they store nothing
	}
	s.streamTime = max(s.streamTime, ts)
	if num := s.streamTime / s.e.delta; len(s.buckets) == 0 || num > s.current().num {
		return s.openBucket(num, o)
	}
	return nil
}

// owner returns the mark that a new record can see; offset -1: none.
func (s *shard) owner(o int64, h bloom.Hash, mask bloom.Mask) (mark, error) {
	mask = (mask | s.maybe) & s.visible
	found := uint64(0)
	if s.active != nil {
		found = s.active.get(h)
	}
	if found != 0 && found != tombstone {
		return mark{s.current().num, offsetOf(found)}, nil // most copies are recent
	}
	if mask != 0 || len(s.bare) > 0 {
		low := s.current().num - int64(s.e.opt.Buckets)
		return s.search(h, o, low, len(s.buckets)-1, mask)
	}
	return mark{offset: -1}, nil
}

// countFresh adds the marks of the chunk to the engine's count. For each mark by itself the atomic addition, a fence, would wait until the
// mark's slot is written, and a line of the table comes from memory first: that was half of the time of a new key.
func (s *shard) countFresh() {
	s.e.keys.Add(s.fresh)
	s.fresh = 0
}

func (s *shard) count(k Kind) {
	switch k {
	case Unique:
		s.counts.unique++
	case Redelivery:
		s.counts.redelivery++
	case Duplicate:
		s.counts.duplicate++
	}
}

// replay decides a record that was taken in before (rule, step 1): nothing is stored.
func (s *shard) replay(o int64, h bloom.Hash, mask bloom.Mask) (Verdict, error) {
	at := s.indexOf(o)
	if at < 0 {
		s.counts.redelivery++
		return Verdict{Kind: Redelivery, First: o}, nil
	}
	low := s.buckets[at].num - int64(s.e.opt.Buckets)
	if o < s.committed {
		// An operator's rewind: the buckets below may be gone already, so they must not be seen even where they are not.
		if c := s.indexOf(s.committed - 1); c >= 0 {
			low = max(low, s.buckets[c].num-int64(s.e.opt.Buckets))
		}
	}
	hit, err := s.search(h, o, low, at, mask|s.maybe)
	if err != nil {
		return Verdict{}, err
	}
	if hit.offset >= 0 && hit.offset < o {
		s.counts.duplicate++
		return Verdict{Kind: Duplicate, First: hit.offset}, nil
	}
	v := Verdict{Kind: Redelivery, First: o}
	if s.shared != nil && hit.offset != o { // with a mark of its own it is the owner, whatever others hold
		if v, err = s.shared.judge(s, h, s.buckets[at].num, v); err != nil {
			return Verdict{}, err
		}
	}
	s.count(v.Kind)
	return v, nil
}

// remember stores the mark (current bucket, hash) -> offset in the table and the frame, in this order: a table that is frozen
// on the way must not count a frame as its own that holds more than it does.
func (s *shard) remember(h bloom.Hash, offset int64) error {
	b := s.current()
	if s.active == nil {
		s.active = newTable(b.num, s.e.pool)
	}
	if !s.active.put(h, uint64(offset)+1) {
		if err := s.freeze(); err != nil {
			return err
		}
		s.active = newTable(b.num, s.e.pool)
		s.active.put(h, uint64(offset)+1)
	}
	// A mark that a refreshed window copies is no record of this bucket; one of a frame that is applied again is in the trail already.
	if t := s.active; s.e.opt.Trail && !t.scarred && offset >= b.first && offset > t.trailEnd() {
		t.follow(h, offset, s.e.trails)
	}
	b.keys++
	s.fresh++
	if !s.replaying {
		s.begin(s.to)
		s.enc.Mark(uint64(b.num), h.Hi, h.Lo, offset)
	}
	if s.active.n >= s.e.tableLimit() {
		return s.freeze()
	}
	return nil
}

// clockLead counts a timestamp that is too far ahead, and says so once a minute at most.
func (s *shard) clockLead(r *Record, limit int64) {
	s.counts.clockLead++
	now, last := s.e.opt.Now().UnixMilli(), s.e.lastClockLog.Load()
	if (last != 0 && now-last < time.Minute.Milliseconds()) || !s.e.lastClockLog.CompareAndSwap(last, now) {
		return
	}
	s.e.logger.Warn("timestamp too far ahead of this machine's clock: treated as missing",
		"topic", s.topic, "partition", s.partition, "offset", r.Offset, "timestamp_ms", r.Timestamp,
		"limit_ms", limit, "so_far", s.counts.clockLead)
	if f := s.e.opt.Events.ClockLead; f != nil {
		f(s.topic, s.partition, r.Offset, r.Timestamp)
	}
}
