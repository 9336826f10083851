package index

import (
	"sync"
	"time"
)

// settler merges the runs of buckets that have ended.
//
// Hashes are uniform: each sealed run of a bucket overlaps all others, and every
// merge reads and writes all it merges. A leveled shape, which merges a few runs
// at a time into one that grows, writes a bucket of 20 runs four times, and one
// of 100 runs more often: that is where the processor time of an index goes. The
// least there can be is to stack the runs up, and merge them once, when no more
// are to come. So Pebble is told to leave a stack alone, and the settler merges
// a bucket
//
//   - when it has ended: its partition has a younger one, and an Ingest of that
//     partition brought nothing for it. Late marks that come after are stacked
//     again, and merged when they are a quarter of the bucket;
//   - when it has mergeDepth runs;
//   - when all stacks together are more keys than maxStacked, and it has most.
//     A lookup reads the filter of each run, a byte a key, and the filters must
//     stay in the cache: read from disk, they cost a hundred times as much.
type settler struct {
	wake chan struct{} // a token when there may be work
	done chan struct{} // closed when the goroutine has ended

	mergeDepth int   // immutable; see the constant
	maxStacked int64 // immutable: keys

	mu      sync.Mutex
	parts   map[uint32]map[uint64]*heap // by partition and bucket
	stacked int64                       // keys of all heaps
}

// heap is what is known of a bucket's runs, under settler.mu. Estimates.
type heap struct {
	stack   stack
	settled int64 // keys in the last level
	due     bool  // to be merged
}

// stack is what lies above the last level.
type stack struct {
	runs int
	keys int64
}

type bucketID struct {
	partition uint32
	bucket    uint64
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
)

func newSettler(mergeDepth int, cacheBytes int64) *settler {
	return &settler{
		mergeDepth: mergeDepth,
		// Half the cache: as much again comes while it is merged.
		maxStacked: cacheBytes * 8 / filterBits / 2,

		parts: make(map[uint32]map[uint64]*heap),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

// ingested takes note of the runs of an Ingest, in order, and of what has ended
// by it. keys[i] is the number of entries of runs[i].
func (s *settler) ingested(runs []Run, keys []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range runs {
		h := s.heapLocked(runs[i].Partition, runs[i].Bucket)
		h.stack.runs++
		s.stackLocked(h, keys[i])
		if h.stack.runs >= s.mergeDepth {
			s.dueLocked(h)
		}
	}
	if s.stacked > s.maxStacked {
		s.dueLocked(s.highestLocked())
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
		if quiet && h.stack.keys > 0 && h.stack.keys >= h.settled/settleShare {
			s.dueLocked(h)
		}
	}
}

func (s *settler) stackLocked(h *heap, keys int64) {
	h.stack.keys += keys
	s.stacked += keys
}

func (s *settler) dueLocked(h *heap) {
	h.due = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// highestLocked returns the heap with most stacked keys.
func (s *settler) highestLocked() (highest *heap) {
	for _, buckets := range s.parts {
		for _, h := range buckets {
			if highest == nil || h.stack.keys > highest.stack.keys {
				highest = h
			}
		}
	}
	return highest
}

// full says that the stacks are about to outgrow the cache.
func (s *settler) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stacked > s.maxStacked*3/2
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
			s.stackLocked(buckets[lowest], -buckets[lowest].stack.keys)
			delete(buckets, lowest)
		}
	}
	return h
}

// next returns a bucket that is due, and its stack: the oldest bucket, which has
// been asked as a stack for the longest time.
func (s *settler) next() (id bucketID, h *heap, taken stack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, buckets := range s.parts {
		for b, c := range buckets {
			if c.due && (h == nil || b < id.bucket || b == id.bucket && p < id.partition) {
				id, h, taken = bucketID{p, b}, c, c.stack
			}
		}
	}
	return id, h, taken
}

// merged takes note that what next returned is merged. Runs that came while it
// was may be merged or not: they count as stacked.
func (s *settler) merged(h *heap, taken stack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.settled += taken.keys
	h.due = false
	if h.stack.keys >= taken.keys { // else forgotten meanwhile, by heapLocked
		h.stack.runs -= taken.runs
		s.stackLocked(h, -taken.keys)
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
			id, h, taken := x.settler.next()
			if h == nil {
				break
			}
			err := x.mergeBucket(id)
			if err == nil {
				x.settler.merged(h, taken)
				x.wakeL0()
				continue
			}
			if x.ctx.Err() != nil || x.failure() != nil {
				return
			}
			x.opts.Logger.Warn("index: cannot merge the runs of a bucket, will try again",
				"dir", x.dir, "partition", id.partition, "bucket", id.bucket, "err", err)
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
func (x *Index) mergeBucket(id bucketID) error {
	start, end := appendPrefix(nil, id.partition, id.bucket), appendBucketEnd(nil, id.partition, id.bucket)
	return x.call(func() error { return x.db.Compact(x.ctx, start, end, false) })
}

// survey fills the settler with what is in the store at Open.
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
					h.stack.runs++
					s.stackLocked(h, keys)
				} else {
					h.settled += keys
				}
			}
		}
		return nil
	})
}

const lastLevel = 6 // Pebble's, counted from 0
