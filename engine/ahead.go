package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"noecho/bloom"
	"noecho/internal/index"
)

// Lookups ahead: those of a chunk that go to the disk, side by side.
//
// The naive way is one lookup after the other. In a store that is larger than the memory each waits for the disk, 100 us and more, and one new
// key in a hundred needs one because the filter errs: they were most of the time of a key. But a disk answers many reads in the time of one,
// and after the filter was asked for the whole chunk it is known which blocks will be read. So goroutines read them first; the lookups
// that decide come after, in order, and find the blocks in the cache.
//
//	filter says   . . m . . . . m . . . . . . m .      chunk
//	ahead             Get ─┐    Get ─┐        Get ─┐    at the same time, what they find is thrown away
//	               <───────┴─────────┴─────────────┘
//	decide        1 2 3 4 5 6 7 8 ...                   one by one, from the cache
//
// It decides nothing, so it may do too little (a lookup then reads for itself) or too much (a block is read for nothing). What is done
// twice costs processor time, some 4 us a lookup, so it is done only while lookups are slow.

const (
	aheadWorkers = 8 // beside the caller

	// slowLookup is the mean time of a lookup from which on it pays: what comes from the kernel's cache takes 10 us, from a disk 100 and more.
	slowLookup = 60 * time.Microsecond
	// aheadProbe: one chunk in so many is done without, to see whether it still pays. The time of lookups side by side would not tell: they wait for
	// processors, too.
	aheadProbe = 16
	// aheadMost bounds the lookups of a chunk: every key in every bucket, while the filter is being rebuilt.
	aheadMost = 8 * chunkRecords
	// aheadTrail is the most of them that are done where there is a trail. More are no errors of the filter but copies, which the trail answers by the block.
	aheadTrail = chunkRecords / 16
)

// ahead is the lookups of one chunk. Its shard's mu is held all the time; jobs is only read while the workers have it.
type ahead struct {
	s    *shard
	jobs []aheadJob
	next atomic.Int32 // the job that is taken next
	wg   sync.WaitGroup
}

type aheadJob struct {
	bucket int64
	h      bloom.Hash
}

// lookupPace is what a shard knows of the time of its lookups. Protected by shard.mu.
type lookupPace struct {
	mean  time.Duration // of lookups that decide, moving
	ahead bool          // those of this chunk were done before, so their times say nothing
	turn  int           // chunks since the last probe
}

// note takes in the time of one lookup.
func (p *lookupPace) note(took time.Duration) {
	if !p.ahead {
		// A single one that met a stall must not count for a hundred.
		p.mean += (min(took, 8*slowLookup) - p.mean) / 16
	}
}

// lookAhead does the lookups ahead of a chunk, where it pays. Called with mu held, after the filter was asked.
func (s *shard) lookAhead(hs []bloom.Hash) {
	s.pace.ahead = false
	if s.pace.mean < s.e.opt.slow {
		return
	}
	if s.pace.turn = (s.pace.turn + 1) % aheadProbe; s.pace.turn == 0 {
		return
	}
	a := s.aheadJobs(hs)
	if len(a.jobs) < 2 {
		return
	}
	r, err := s.openReader()
	if err != nil {
		return // the lookup that decides says so
	}
	s.pace.ahead = true
	s.e.startAhead()
	a.next.Store(0)
	for range min(len(a.jobs)-1, aheadWorkers) {
		a.wg.Add(1)
		select {
		case s.e.aheads <- a:
		default: // all are busy with another partition
			a.wg.Done()
		}
	}
	a.work(r)
	a.wg.Wait()
	s.counts.lookupsAhead += uint64(len(a.jobs))
}

// aheadJobs collects what is likely to be looked up in the index.
func (s *shard) aheadJobs(hs []bloom.Hash) *ahead {
	a := s.ahead
	if a == nil {
		a = &ahead{s: s, jobs: make([]aheadJob, 0, aheadMost)}
		s.ahead = a
	}
	a.jobs = a.jobs[:0]
	most := aheadMost
	if s.e.opt.Trail && s.maybe == 0 {
		most = aheadTrail
	}
	for i, h := range hs {
		mask := (s.masks[i] | s.maybe) & s.visible
		for at := len(s.buckets) - 1; at >= 0 && mask != 0; at-- {
			b := &s.buckets[at]
			if b.bit&mask == 0 || !b.indexMayHold(h) {
				continue
			}
			if s.warm(b, h) {
				break
			}
			if len(a.jobs) == most {
				if s.maybe == 0 {
					a.jobs = a.jobs[:0]
				}
				return a
			}
			a.jobs = append(a.jobs, aheadJob{b.num, h})
		}
	}
	return a
}

// warm says whether a bucket has a mark in memory.
func (s *shard) warm(b *bucket, h bloom.Hash) bool {
	if t := s.active; t != nil && t.bucket == b.num && t.get(h) != 0 {
		return true
	}
	for _, t := range b.tables {
		if t.get(h) != 0 {
			return true
		}
	}
	return s.trail.cache != nil && s.trail.cache.get(b.num, h) >= 0
}

// work does lookups until there are none left. Errors are met again by the lookup that decides.
func (a *ahead) work(r *index.Reader) {
	for {
		i := int(a.next.Add(1)) - 1
		if i >= len(a.jobs) {
			return
		}
		j := &a.jobs[i]
		_, _, _ = r.Get(a.s.id, uint64(j.bucket), j.h.Hi, j.h.Lo)
	}
}

// startAhead starts the workers, the first time that they are needed: most stores fit into memory.
func (e *Engine) startAhead() {
	e.aheadOnce.Do(func() {
		for range aheadWorkers {
			e.aheadDone.Go(e.workAhead)
		}
	})
}

func (e *Engine) workAhead() {
	var r index.Reader
	for {
		select {
		case a := <-e.aheads:
			if e.index.ResetReader(&r) == nil {
				a.work(&r)
				_ = r.Close() // nil always
			}
			a.wg.Done()
		case <-e.stop:
			return
		}
	}
}
