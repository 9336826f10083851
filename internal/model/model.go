package model

// Record is one record of a partition: its offset, its timestamp in milliseconds (-1: none) and its key.
type Record struct {
	Offset    int64
	Timestamp int64
	Key       string
}

// Verdict says whether a record is a duplicate and, if so, of which earlier offset.
type Verdict struct {
	Drop  bool
	First int64 // the owner's offset when Drop, else the record's own
}

// mark is the key of the set of marks: a key is remembered once a bucket.
type mark struct {
	bucket int64
	key    string
}

// boundary fixes the bucket of every offset from first on, up to the next boundary.
type boundary struct {
	bucket int64
	first  int64
}

// Partition is the state the rule gives to a partition. Not safe for concurrent use.
type Partition struct {
	delta      int64 // milliseconds a bucket
	buckets    int64 // G: buckets to the window
	refresh    bool
	empty      bool // nothing was ever taken in
	start, to  int64
	committed  int64 // -1: never
	streamTime int64
	boundaries []boundary
	marks      map[mark]int64
}

// New returns an empty partition with a window of windowMs milliseconds in the given number of buckets.
func New(windowMs int64, buckets int, refresh bool) *Partition {
	return &Partition{
		delta: windowMs / int64(buckets), buckets: int64(buckets), refresh: refresh,
		empty: true, committed: -1, marks: map[mark]int64{},
	}
}

// Check takes in the records in order and returns a verdict for each.
func (p *Partition) Check(records []Record) []Verdict {
	out := make([]Verdict, 0, len(records))
	for _, r := range records {
		out = append(out, p.check(r))
	}
	return out
}

func (p *Partition) check(r Record) Verdict {
	if !p.empty && r.Offset < p.to {
		b, ok := p.bucketOf(r.Offset)
		if !ok {
			return Verdict{First: r.Offset}
		}
		first, seen := p.visible(r.Key, r.Offset, b)
		return verdict(first, seen, r.Offset)
	}
	p.takeIn(r)
	b := p.current()
	if first, seen := p.visible(r.Key, r.Offset, b); seen {
		if _, has := p.marks[mark{b, r.Key}]; p.refresh && !has {
			p.marks[mark{b, r.Key}] = first
		}
		return verdict(first, true, r.Offset)
	}
	p.marks[mark{b, r.Key}] = r.Offset
	return Verdict{First: r.Offset}
}

func verdict(first int64, seen bool, offset int64) Verdict {
	if seen {
		return Verdict{Drop: true, First: first}
	}
	return Verdict{First: offset}
}

// takeIn moves stream time, the boundaries and the coverage over a new record.
func (p *Partition) takeIn(r Record) {
	if p.empty {
		p.empty, p.start = false, r.Offset
	}
	p.streamTime = max(p.streamTime, r.Timestamp)
	b := p.streamTime / p.delta
	if len(p.boundaries) == 0 || b > p.current() {
		p.boundaries = append(p.boundaries, boundary{b, r.Offset})
	}
	p.to = r.Offset + 1
}

func (p *Partition) current() int64 { return p.boundaries[len(p.boundaries)-1].bucket }

// bucketOf is the bucket that was current when offset o was taken in; false below the start or the oldest boundary.
func (p *Partition) bucketOf(o int64) (int64, bool) {
	if p.empty || o < p.start {
		return 0, false
	}
	for i := len(p.boundaries) - 1; i >= 0; i-- {
		if p.boundaries[i].first <= o {
			return p.boundaries[i].bucket, true
		}
	}
	return 0, false
}

// visible finds the smallest visible first offset of a key for a record at offset o in bucket b.
func (p *Partition) visible(key string, o, b int64) (int64, bool) {
	low := b - p.buckets
	if o < p.committed {
		if c, ok := p.bucketOf(p.committed - 1); ok {
			low = max(b, c) - p.buckets
		}
	}
	first, seen := int64(0), false
	for m, f := range p.marks {
		if m.key == key && f < o && low <= m.bucket && m.bucket <= b && (!seen || f < first) {
			first, seen = f, true
		}
	}
	return first, seen
}

// Commit says that everything below next is done, and drops the buckets that are dead by then.
func (p *Partition) Commit(next int64) {
	p.committed = max(p.committed, next)
	c, ok := p.bucketOf(p.committed - 1)
	if !ok {
		return
	}
	for m := range p.marks {
		if m.bucket < c-p.buckets {
			delete(p.marks, m)
		}
	}
	for len(p.boundaries) > 1 && p.boundaries[0].bucket < c-p.buckets {
		p.boundaries = p.boundaries[1:]
	}
}

// Lookup says whether the next record with that key would be dropped, and of which offset it would be a copy.
func (p *Partition) Lookup(key string) (first int64, seen bool) {
	if p.empty {
		return 0, false
	}
	return p.visible(key, p.to, p.current())
}

// Forget removes the key's marks, so that its next copy passes.
func (p *Partition) Forget(key string) {
	for m := range p.marks {
		if m.key == key {
			delete(p.marks, m)
		}
	}
}

// Clone copies the state, as it would be found again after a crash at this moment.
func (p *Partition) Clone() *Partition {
	c := *p
	c.boundaries = append([]boundary(nil), p.boundaries...)
	c.marks = make(map[mark]int64, len(p.marks))
	for k, v := range p.marks {
		c.marks[k] = v
	}
	return &c
}

// Committed is the largest offset given to Commit; -1 when there was none.
func (p *Partition) Committed() int64 { return p.committed }

// Coverage is the range of offsets taken in; equal ends mean nothing was.
func (p *Partition) Coverage() (start, to int64) { return p.start, p.to }
