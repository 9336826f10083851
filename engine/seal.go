package engine

import (
	"context"
	"slices"
	"time"

	"noecho/internal/index"
	"noecho/internal/invariants"
)

// maxJobMarks bounds one seal, so that what waits behind it (eviction, giving back the log) is not starved.
const maxJobMarks = 4 << 20

// freeze closes the active table: its frame is cut, the partition's state is written down as the table's companion, and
// the keeper is told. The two go into the index in one call, so index and coverage never disagree. A freeze without
// marks still moves the state out of the log. Called with mu held.
func (s *shard) freeze() error {
	if err := s.cutFrame(); err != nil {
		return err
	}
	t := s.active
	s.active = nil
	if t == nil {
		t = &table{pool: s.e.pool, bucket: -1} // a carrier of the state only
	}
	t.firstPos = s.firstPos
	s.firstPos = 0
	if s.replaying {
		s.firstPos = s.replayPos // the rest of this frame is still to come
	}
	t.forgets, s.notes = s.notes, nil
	if t.n > 0 {
		b := s.current()
		b.tables = append(b.tables, t)
		b.stored = true
		if s.filter != nil {
			s.bare = append(s.bare, t)
			s.e.sow()
		}
	}
	if invariants.Enabled {
		reason := s.impossible()
		invariants.Assert(reason == "", "%s/%d: %s", s.topic, s.partition, reason)
		invariants.Assert(t.n == 0 || t.bucket == s.current().num, "a table of bucket %d is frozen in another one", t.bucket)
	}
	s.gen++
	t.gen, t.meta = s.gen, s.appendMeta(nil)
	s.unsealed = append(s.unsealed, t)
	s.e.unsealed.Add(t.bytes())
	s.e.wake()
	return nil
}

// work is what one seal takes from one shard: tables whose buckets ascend, so that they are separate runs.
type work struct {
	s       *shard
	tables  []*table
	dead    []bool // the table's bucket died meanwhile: its state is written, its marks are not
	trail   []bool // its trail is to be written
	forgets []bucketHash
}

// collect takes the unsealed tables at the front of the queue that fit into one job. The tables are immutable: the
// keeper reads them without the lock.
func (s *shard) collect() (w work, marks int) {
	s.lockAfterChecks()
	defer s.mu.Unlock()
	w.s = s
	if s.dropsTrail() {
		s.e.wake()
		return w, 0
	}
	last := int64(-2)
	for _, t := range s.unsealed {
		if len(w.tables) > 0 && (t.bucket == last || len(t.forgets) > 0 || marks > maxJobMarks) {
			break // the same bucket twice, or deletions in a bucket of this very job: the next job's
		}
		dead := t.n > 0 && s.find(t.bucket) == nil
		w.tables = append(w.tables, t)
		w.dead = append(w.dead, dead)
		w.trail = append(w.trail, t.n > 0 && !dead && !t.scarred && len(t.trail) > 0)
		if t.n > 0 {
			last = t.bucket
			marks += t.n
		}
		for _, f := range t.forgets {
			if s.find(f.bucket) != nil {
				w.forgets = append(w.forgets, f)
			}
		}
	}
	return w, marks
}

// runs are the sorted runs of the work: deletions in older buckets first, then the tables.
func (w *work) runs(dst []index.Run) []index.Run {
	slices.SortFunc(w.forgets, func(a, b bucketHash) int {
		switch {
		case a.bucket != b.bucket:
			return compare(a.bucket, b.bucket)
		case a.hash.Hi != b.hash.Hi:
			return compare(a.hash.Hi, b.hash.Hi)
		}
		return compare(a.hash.Lo, b.hash.Lo)
	})
	for i := 0; i < len(w.forgets); {
		j := i
		for j < len(w.forgets) && w.forgets[j].bucket == w.forgets[i].bucket {
			j++
		}
		part := w.forgets[i:j]
		dst = append(dst, index.Run{Partition: w.s.id, Bucket: uint64(part[0].bucket), Entries: func(yield func(index.Entry) bool) {
			for _, f := range part {
				if !yield(index.Entry{Hi: f.hash.Hi, Lo: f.hash.Lo, Offset: -1}) {
					return
				}
			}
		}})
		i = j
	}
	for i, t := range w.tables {
		if t.n > 0 && !w.dead[i] {
			dst = append(dst, index.Run{Partition: w.s.id, Bucket: uint64(t.bucket), Entries: t.entries})
		}
	}
	return dst
}

func compare[T int64 | uint64](a, b T) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// seal writes waiting tables of all shards into the index in one ingest. It reports whether there was anything to do.
// Called by the keeper only (keeperMu held).
func (e *Engine) seal(ctx context.Context) (bool, error) {
	// First what is to go: a bucket that was emptied lives on, and what is sealed into it from now on must not be cut out
	// again with what was there before.
	if err := e.cutDrops(ctx); err != nil {
		return false, err
	}
	var works []work
	var runs []index.Run
	var metas []index.Meta
	var trails []index.Trail
	total := 0
	for _, s := range e.shards() {
		w, marks := s.collect()
		if len(w.tables) == 0 {
			continue
		}
		works = append(works, w)
		runs = w.runs(runs)
		trails = w.trails(trails)
		metas = append(metas, index.Meta{Key: partitionKey(s.id), Value: w.tables[len(w.tables)-1].meta})
		if total += marks; total > maxJobMarks {
			break
		}
	}
	if len(works) == 0 {
		return false, nil
	}
	begin := time.Now()
	if err := e.syncShared(ctx); err != nil {
		return false, err
	}
	if err := e.index.Ingest(ctx, runs, metas, trails...); err != nil {
		return false, err
	}
	for i := range works {
		e.install(&works[i])
	}
	took := time.Since(begin)
	e.seals.Add(1)
	e.sealedMarks.Add(uint64(total))
	if f := e.opt.Events.Sealed; f != nil {
		f(total, took)
	}
	return true, nil
}

// install makes a seal visible to its shard: the tables stay readable, but may be evicted now.
func (e *Engine) install(w *work) {
	s := w.s
	s.lockAfterChecks()
	defer s.mu.Unlock()
	s.unsealed = slices.Delete(s.unsealed, 0, len(w.tables))
	for _, t := range w.tables {
		t.sealed = true
		s.indexGen = t.gen
		e.sealOrder++
		t.order = e.sealOrder
		e.unsealed.Add(-t.bytes())
		t.dropTrail(e.trails)
		if s.find(t.bucket) == nil || t.n == 0 {
			// A bucket that died meanwhile noted its range for the keeper when it died, whether written by now or not.
			s.dead = append(s.dead, t)
		}
		for _, f := range t.forgets {
			s.bury(f)
		}
		t.meta, t.forgets = nil, nil
	}
	e.wakeRoom()
	e.sow() // a bucket that has ended may be whole in the index now: see beginGather
}

// bury removes a forgotten mark, which is gone from the index, from the tables that still hold it.
func (s *shard) bury(f bucketHash) {
	delete(s.forgotten, f)
	b := s.find(f.bucket)
	if b == nil {
		return
	}
	for _, t := range b.tables {
		// An older bucket takes no marks any more, so all its tables were frozen before the key was forgotten.
		invariants.Assert(t.sealed, "a forgotten mark leaves the index before a table of its bucket is in it")
		if t.get(f.hash) != 0 {
			t.put(f.hash, tombstone)
		}
	}
}
