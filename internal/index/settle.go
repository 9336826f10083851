package index

import (
	"context"
	"sync"
	"time"
)

// settler merges the runs of buckets that have ended.
//
// Hashes are uniform: each sealed run of a bucket overlaps all others, and every
// merge reads and writes all it merges. A leveled shape, which merges a few runs
// at a time into one that grows, rewrites a bucket of 20 runs five times, and
// one of 100 runs more often: that is where the processor time of an index goes.
// The least there can be is to stack the runs up (what is stacked has filters:
// runFilter), and merge them once, when no more are to come: the settler merges a
// bucket when it has ended.
//
// A bucket has ended when its partition has a younger one, and an Ingest of that
// partition brought nothing for it. Late marks may come after that: they are
// stacked again, and merged when they are a quarter of the bucket.
//
// A stack cannot grow for ever. One that is mergeDepth runs deep is merged before its bucket has ended, and then not before
// the stack has as many keys as what it is merged with, so that a bucket of n
// times mergeDepth runs is rewritten log2 n times and not n times; but at one and
// a half times mergeDepth in any case. Pebble is told to leave it alone: by
// itself it takes at most 500 MB of a stack at a time, and rewrites the bucket for
// each (measured: 130 runs of a million keys were rewritten 3.7 times, and not 1.5).
type settler struct {
	depth int           // Options.mergeDepth
	wake  chan struct{} // a token when there may be work
	done  chan struct{} // closed when the goroutine has ended

	mu    sync.Mutex
	parts map[uint32]map[uint64]*heap // by partition and bucket
	metas int                         // tables of metas that are stacked
}

// heap is what is known of a bucket's runs, under settler.mu. Estimates.
type heap struct {
	runs    int   // above the last level
	stacked int64 // keys in them
	settled int64 // keys in the last level
	due     bool  // to be merged

	// What the merge under way takes away from the stack.
	takenRuns int
	takenKeys int64
}

const (
	// settleShare: late marks are merged when they are one part in this many.
	settleShare = 4

	// maxHeaps bounds the buckets that are remembered of a partition; the lowest
	// go. A window has few, and those that were dropped are not reported here.
	maxHeaps = 64

	// settleRetry is how long a merge that failed (disk full) is left alone.
	settleRetry = time.Second

	keyBytes = 21 // of a table, for estimates

	// metaDepth is how many tables of metas are stacked up before they are merged. Each Ingest brings one, and each
	// lies over the one before: they would be the deepest stack of the store, as deep as mergeDepth, and every lookup
	// passes through all of its levels, though none of them has a mark. They are small.
	metaDepth = 8
)

func newSettler(depth int) *settler {
	return &settler{
		depth: depth,
		parts: make(map[uint32]map[uint64]*heap),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

// ingested takes note of the runs of an Ingest, in order, and of what has ended
// by it. keys[i] is the number of entries of runs[i].
func (s *settler) ingested(runs []Run, keys []int64, metas bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if metas {
		if s.metas++; s.metas >= metaDepth {
			s.wakeUp()
		}
	}
	for i := range runs {
		h := s.heapLocked(runs[i].Partition, runs[i].Bucket)
		h.runs++
		h.stacked += keys[i]
		s.deepLocked(h)
	}
	for len(runs) > 0 {
		n := 1
		for n < len(runs) && runs[n].Partition == runs[0].Partition {
			n++
		}
		s.endLocked(s.parts[runs[0].Partition], runs[:n])
		runs = runs[n:]
	}
}

// deep says whether the stack is to be merged although its bucket may get more.
func (h *heap) deep(depth int) bool {
	return h.runs >= depth && (h.stacked >= h.settled || h.runs >= depth+depth/2)
}

// restDue says whether the stack is to be merged when its bucket has ended.
func (h *heap) restDue() bool { return h.stacked > 0 && h.stacked >= h.settled/settleShare }

// deepLocked has a bucket merged whose stack is deep.
func (s *settler) deepLocked(h *heap) {
	if h.deep(s.depth) {
		h.due = true
		s.wakeUp()
	}
}

// endLocked finds the buckets of one partition that have ended: there is a
// younger one, and these runs are not for them.
func (s *settler) endLocked(buckets map[uint64]*heap, runs []Run) {
	youngest := runs[len(runs)-1].Bucket
	for b := range buckets {
		youngest = max(youngest, b)
	}
	for b, h := range buckets {
		quiet := b < youngest
		for i := range runs {
			quiet = quiet && runs[i].Bucket != b
		}
		if quiet && h.restDue() {
			h.due = true
			s.wakeUp()
		}
	}
}

func (s *settler) heapLocked(partition uint32, bucket uint64) *heap {
	buckets := s.parts[partition]
	if buckets == nil {
		buckets = make(map[uint64]*heap)
		s.parts[partition] = buckets
	}
	h := buckets[bucket]
	if h == nil {
		h = new(heap)
		buckets[bucket] = h
		if len(buckets) > maxHeaps {
			lowest := bucket
			for b := range buckets {
				lowest = min(lowest, b)
			}
			delete(buckets, lowest)
		}
	}
	return h
}

// next returns a bucket that is due: the oldest, which has been asked as a stack
// for the longest time.
func (s *settler) next() (partition uint32, bucket uint64, h *heap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, buckets := range s.parts {
		for b, candidate := range buckets {
			if candidate.due && (h == nil || b < bucket || b == bucket && p < partition) {
				partition, bucket, h = p, b, candidate
			}
		}
	}
	return partition, bucket, h
}

// Unsettled says whether runs of a bucket that has ended are to be merged, or are being merged. What is left of a stack that is small beside
// what was merged before stays as it is, and does not count. Allocates nothing.
func (x *Index) Unsettled(partition uint32, bucket uint64) bool {
	s := x.settler
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.parts[partition][bucket]
	return h != nil && (h.due || h.takenRuns > 0 || h.restDue())
}

// runs is how many runs of a bucket are stacked.
func (s *settler) runs(partition uint32, bucket uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.parts[partition][bucket]; h != nil {
		return h.runs
	}
	return 0
}

// begin takes note of what a merge of h begins with.
func (s *settler) begin(h *heap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.takenRuns, h.takenKeys = h.runs, h.stacked
}

// metasDue says whether the tables of metas are to be merged, and counts from here on.
func (s *settler) metasDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metas < metaDepth {
		return false
	}
	s.metas = 0
	return true
}

// merged takes note of the outcome of a merge of h that has begun.
func (s *settler) merged(h *heap, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		h.runs, h.stacked, h.settled = h.runs-h.takenRuns, h.stacked-h.takenKeys, h.settled+h.takenKeys
		h.due = h.deep(s.depth)
	}
	h.takenRuns, h.takenKeys = 0, 0
}

func (s *settler) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle is the goroutine of the settler. It ends with Close and with a failure.
func (x *Index) settle() {
	defer close(x.settler.done)
	for {
		select {
		case <-x.settler.wake:
		case <-x.ctx.Done():
			return
		case <-x.failed:
			return
		}
		for {
			if x.settler.metasDue() {
				// A failure shows in the next merge of a bucket, and costs time only.
				_ = x.mergeMetas()
			}
			partition, bucket, h := x.settler.next()
			if h == nil {
				break
			}
			x.settler.begin(h)
			err := x.mergeBucket(partition, bucket)
			x.settler.merged(h, err == nil)
			if err == nil {
				if f := x.opts.OnMerged; f != nil {
					f()
				}
				continue
			}
			if x.ctx.Err() != nil || x.failure() != nil {
				return
			}
			x.opts.Logger.Warn("index: cannot merge the runs of a bucket, will try again",
				"dir", x.dir, "partition", partition, "bucket", bucket, "err", err)
			select {
			case <-time.After(settleRetry):
			case <-x.ctx.Done():
				return
			}
		}
	}
}

// mergeBucket merges all runs of a bucket that are stacked when it begins with
// what lies below. Of a bucket that has none, or was dropped, nothing is read.
func (x *Index) mergeBucket(partition uint32, bucket uint64) error {
	return x.merge(appendPrefix(nil, partition, bucket), appendBucketEnd(nil, partition, bucket))
}

// merge merges what lies between two keys.
//
// Its context never ends. Pebble (2.1.7) forgets a compaction whose context ends
// before it runs, but not that it has picked it, and then panics, or waits for
// ever for a turn that nobody takes. Close has to wait for what runs anyway.
func (x *Index) merge(start, end []byte) error {
	return x.call(func() error { return x.db.Compact(context.Background(), start, end, false) })
}

// mergeMetas merges the tables of metas.
func (x *Index) mergeMetas() error {
	return x.merge(appendMetaKey(nil, nil), appendPartitionEnd(nil, metaPartition))
}

// survey fills the settler with what is in the store at Open. A stack that is deep already is due: with one that holds sealing
// back (WaitL0) there may be no Ingest any more that would find it so.
func (x *Index) survey() error {
	return x.call(func() error {
		levels, err := x.db.SSTables()
		if err != nil {
			return err
		}
		s := x.settler
		s.mu.Lock()
		defer s.mu.Unlock()
		for level, tables := range levels {
			for i := range tables {
				partition, bucket, _, _, ok := decodeKey(tables[i].Smallest.UserKey)
				if !ok {
					continue
				}
				h, keys := s.heapLocked(partition, bucket), int64(tables[i].Size/keyBytes+1)
				if level < lastLevel {
					h.runs++
					h.stacked += keys
				} else {
					h.settled += keys
				}
			}
		}
		for _, buckets := range s.parts {
			for _, h := range buckets {
				s.deepLocked(h)
			}
		}
		return nil
	})
}

const lastLevel = 6 // Pebble's, counted from 0
