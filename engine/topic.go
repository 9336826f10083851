package engine

import (
	"context"
	"math"
	"slices"
	"sync"

	"noecho/bloom"
)

// Topic is a scope in which partitions share what they know: for producers that send a retry to another partition than the
// first attempt. Its partitions keep their own marks and coverage, and each decides by the rule what it can. What would be an
// original is asked of the others: where one holds a mark of the key, taken in first, the record is a copy of that.
//
// Claim all partitions of the topic from one Topic, before the first Check: what is not claimed is not asked. Batches of its
// partitions wait for each other. And two duties come with it, because the log does not say which of two
// partitions was first, so that after a crash the copy may be taken in before its original, and owns the key then:
//
//   - Do not count a copy as done (commit beyond it, or act on what lies behind it) before the record it is a copy of is done.
//     Else that one can be dropped as a copy of something nobody handled, and the message is lost.
//   - Where an effect must not come twice, give Check the records of all partitions that are done, before the first that is not.
//
// Package kafka does both, and docs/decisions/0018 has the reasons.
type Topic struct {
	e    *Engine // immutable
	name string  // immutable

	// mu is held over a chunk of one partition, before its shard.mu; with both, the shard.mu of another partition may be taken,
	// and nobody else ever holds two.
	mu    sync.Mutex
	parts []*shard // claimed; protected by mu
}

// Topic returns the scope of a topic. One is enough: two of the same topic know nothing of each other.
func (e *Engine) Topic(name string) *Topic {
	e.shares.Store(true)
	return &Topic{e: e, name: name}
}

// Partition claims a partition, as Engine.Partition does. Its Check asks the other partitions that were claimed here.
func (t *Topic) Partition(partition int32) (*Partition, error) {
	p, err := t.e.Partition(t.name, partition)
	if err != nil {
		return nil, err
	}
	p.topic = t
	t.lock()
	defer t.unlock()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.shared = t
	t.parts = append(t.parts, p.s)
	return p, nil
}

// lock does nothing for a partition on its own.
func (t *Topic) lock() {
	if t != nil {
		t.mu.Lock()
	}
}

func (t *Topic) unlock() {
	if t != nil {
		t.mu.Unlock()
	}
}

// leave takes a partition out. Called with mu and the shard's held.
func (t *Topic) leave(s *shard) {
	if t != nil {
		s.shared = nil
		t.parts = slices.DeleteFunc(t.parts, func(other *shard) bool { return other == s })
	}
}

// judge returns the verdict on a record that s, which would say v, knows no mark for: v, or that it is a copy of a record elsewhere. num is the
// record's bucket. Called with mu and the shard's held.
func (t *Topic) judge(s *shard, h bloom.Hash, num int64, v Verdict) (Verdict, error) {
	for _, other := range t.parts {
		if other == s {
			continue
		}
		offset, err := other.ownerFor(h, num)
		if err != nil {
			return Verdict{}, err
		}
		if offset >= 0 {
			return Verdict{Kind: Duplicate, Elsewhere: true, Partition: other.partition, First: offset}, nil
		}
	}
	return v, nil
}

// ownerFor returns the offset of the record that owns a key here, for a record of another partition that is in bucket num; -1: none.
// The two have stream times of their own, and the owner's may be ahead: a mark is seen up to a window away, either way.
// A window that slides (Refresh) does so by copies in the owner's partition only.
//
// What was found is in a frame before this returns, and so before the frame that will cover the copy: a coverage that survived a crash
// without that mark would make the copy a replay that meets no mark, and the original a new record that meets none either.
func (s *shard) ownerFor(h bloom.Hash, num int64) (int64, error) {
	s.lockCheck()
	defer s.unlockCheck()
	g := int64(s.e.opt.Buckets)
	at := len(s.buckets) - 1
	for at >= 0 && s.buckets[at].num > num+g {
		at--
	}
	if at < 0 {
		return -1, nil
	}
	defer s.closeReader()
	hit, err := s.search(h, math.MaxInt64, num-g, at, s.filter.Test(h)|s.maybe)
	if err != nil || hit.offset < 0 {
		return -1, err
	}
	return hit.offset, s.cutFrame()
}

// syncShared is called before anything goes into the index, whose state is durable at once: what a shared partition has
// taken in of it may be copies of records whose marks are in the log only. See ownerFor.
func (e *Engine) syncShared(ctx context.Context) error {
	if !e.shares.Load() {
		return nil
	}
	return e.log.Sync(ctx, e.log.End())
}
