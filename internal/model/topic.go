package model

// Topic is the rule of a topic whose partitions share their marks (docs/semantics.md, "Scope: topic").
type Topic struct {
	Parts map[int32]*Partition
}

// NewTopic returns n empty partitions.
func NewTopic(n int32, windowMs int64, buckets int, refresh bool) *Topic {
	t := &Topic{Parts: map[int32]*Partition{}}
	for part := range n {
		t.Parts[part] = New(windowMs, buckets, refresh)
	}
	return t
}

// TopicVerdict is a Verdict that may name a record of another partition. Where several could be named, Elsewhere holds one for each.
type TopicVerdict struct {
	Verdict
	Elsewhere map[int32][]int64 // by partition; empty: First is an offset of the record's own partition
}

// Check decides one record of a partition.
func (t *Topic) Check(part int32, r Record) TopicVerdict {
	p := t.Parts[part]
	if !p.empty && r.Offset < p.to {
		b, ok := p.bucketOf(r.Offset)
		if !ok {
			return TopicVerdict{Verdict: Verdict{First: r.Offset}}
		}
		if first, seen := p.visible(r.Key, r.Offset, b); seen {
			return TopicVerdict{Verdict: verdict(first, true, r.Offset)}
		}
		if !p.owns(r.Key, r.Offset) {
			if elsewhere := t.others(part, r.Key, b); len(elsewhere) > 0 {
				return TopicVerdict{Verdict: Verdict{Drop: true}, Elsewhere: elsewhere}
			}
		}
		return TopicVerdict{Verdict: Verdict{First: r.Offset}}
	}
	before := p.Clone()
	if v := p.check(r); v.Drop {
		return TopicVerdict{Verdict: v}
	}
	if before.owns(r.Key, r.Offset) {
		return TopicVerdict{Verdict: Verdict{First: r.Offset}}
	}
	if elsewhere := t.others(part, r.Key, p.current()); len(elsewhere) > 0 {
		p.marks = before.marks // taken in all the same, and owns nothing
		return TopicVerdict{Verdict: Verdict{Drop: true}, Elsewhere: elsewhere}
	}
	return TopicVerdict{Verdict: Verdict{First: r.Offset}}
}

// owns says whether the record at offset o owns the key.
func (p *Partition) owns(key string, o int64) bool {
	for m, f := range p.marks {
		if m.key == key && f == o {
			return true
		}
	}
	return false
}

// others finds the owners of a key in the other partitions, no more than a window away from bucket b.
func (t *Topic) others(part int32, key string, b int64) map[int32][]int64 {
	found := map[int32][]int64{}
	for other, p := range t.Parts {
		if other == part {
			continue
		}
		for m, f := range p.marks {
			if m.key == key && b-p.buckets <= m.bucket && m.bucket <= b+p.buckets {
				found[other] = append(found[other], f)
			}
		}
	}
	return found
}
