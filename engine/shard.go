package engine

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"noecho/bloom"
	"noecho/internal/index"
	"noecho/wal"
)

// position of a frame in the WAL; 0 means none (a segment starts with a header, so no frame is at 0).
type position = wal.Position

// chunkRecords is how many records are decided under one hold of the shard's lock, with one touch of the cache lines.
// Smaller gives the memory too few loads to overlap; larger pushes the first lines out of the L1 cache before their turn.
const chunkRecords = 256

// frameSoftLimit is when pending changes are handed to the WAL although no commit asks for it, in bytes: it bounds the
// memory of a caller that commits rarely (the buffer stays with the partition), and spreads the writing.
const frameSoftLimit = 256 << 10

// maxForgets bounds the forgotten marks a shard keeps in memory before a seal must take them.
const maxForgets = 4096

// shard is the state of one partition. Everything below mu is protected by it; the rest is immutable.
type shard struct {
	e         *Engine
	id        uint32 // in the index and the WAL; never reused
	topic     string
	partition int32

	waiting atomic.Int32 // Checks that are about to lock mu
	wanted  atomic.Int32 // others that are: see lockAfterChecks
	mu      sync.Mutex

	claimed bool
	logID   LogID  // also in the index; zero: nobody has said it
	shared  *Topic // of the handle that has it: others are asked what this one does not know; nil: they are not

	// The rule's state. Invariants: buckets ascend by num and by first; if !empty, start <= to and there is at least one
	// bucket; the last one is current.
	empty      bool
	start, to  int64
	committed  int64 // -1: never
	durable    int64 // committed as far as it is on stable storage, for sure; <= committed
	streamTime int64
	buckets    []bucket
	floor      int64 // buckets below were dropped early, because of the bounds; 0: none ever was

	// Planes of the filter.
	filter   bloom.Filter // nil while the partition was never claimed: then nothing is decided
	visible  bloom.Mask   // planes of the buckets that a new record can see
	maybe    bloom.Mask   // planes whose filter is being rebuilt: their answer is always "maybe"
	clearing bloom.Mask   // planes being cleared, piece by piece; not in use
	rebuild  *rebuild     // the background rebuild, nil when there is none
	rebuilt  *rebuilt     // what it brought, until the planter adopts it
	gather   *gathering   // the planter's, nil when there is none
	keeping  *keeping     // likewise

	// Tables. active holds marks of the current bucket only; frozen ones hang on their bucket, newest last.
	active    *table
	unsealed  []*table                // frozen and not yet in the index, oldest first; the keeper takes from the front
	bare      []*table                // frozen and not yet in the filter, oldest first; empty while there is no filter
	forgotten map[bucketHash]struct{} // hidden until a seal took them out of the index
	notes     []bucketHash            // those of them that no frozen table carries yet
	drops     []dropRange             // bucket ranges the keeper has to cut out of the index
	dead      []*table                // sealed tables of dead buckets, for the keeper to release: see releaseDead

	// The log. Frames are numbered by seq without gaps; enc holds what is not in a frame yet.
	enc      wal.Encoder
	begun    bool // enc.Begin was called since the last frame
	changed  bool // committed, to or stream time changed since the last frame
	seq      uint64
	gen      uint64   // how often the state was written down for the index; every freeze raises it
	indexGen uint64   // gen of the state that is in the index; moved by the keeper's install
	firstPos position // oldest frame whose content is in no frozen table; 0: none
	lastPos  position // newest frame

	replaying bool     // recovery: frames come from the log and are not written again
	replayPos position // recovery: the frame being replayed

	trail trailState

	pace  lookupPace
	ahead *ahead // its lookups; nil until they are slow

	reader     index.Reader // reused; open during a chunk only, and only once a lookup is needed
	readerOpen bool
	hashes     [chunkRecords]bloom.Hash
	masks      [chunkRecords]bloom.Mask
	known      [chunkRecords]uint8 // scratch of touchKnown
	sink       uint64              // keeps touch alive
	fresh      int64               // marks of this chunk that Engine.keys does not count yet

	counts counts
}

// counts are totals since the engine was opened.
type counts struct {
	unique, redelivery, duplicate uint64
	falsePositives                uint64 // the filter said maybe, and there was no mark
	indexLookups                  uint64
	lookupsAhead                  uint64 // done before the chunk was decided, beside those that decide
	trailHits, trailBlocks        uint64 // marks found in the trail's cache; blocks read into it
	clockLead                     uint64
}

// bucket is a bucket of time that is still alive.
type bucket struct {
	num       int64 // floor(stream time / delta)
	first     int64 // the boundary: the first offset taken in while it was current
	keys      uint64
	bit       bloom.Mask // its plane; 0 while nothing of it is in the filter
	since     int64      // stream time when it was opened, in ms; 0: by an earlier process
	scattered bool       // its part of the filter cannot be gathered
	scarred   bool       // its trail is not to be read: see scar
	cold      bool       // the index holds marks of it that no table holds
	kept      bool       // its plane is in a file, or is being written there
	stored    bool       // the index holds, or is about to hold, something of it: must be excised when it dies
	tables    []*table

	// second is a second opinion on what the index has of the bucket; nil: there is none. Invariant: a mark of the bucket that is in no table of it
	// is in second, where there is one. So it begins with the bucket's first table, or is built from the index: until it is, later has
	// what was planted since that began.
	second, later *bloom.Second
}

// indexMayHold is false where no mark of h is in the index and in no table of the bucket.
func (b *bucket) indexMayHold(h bloom.Hash) bool {
	return b.cold && (b.second == nil || b.second.Test(h))
}

// planted is the second opinion that takes what is planted; nil: there is none.
func (b *bucket) planted() *bloom.Second {
	if b.later != nil {
		return b.later
	}
	return b.second
}

// plane is the number of the bucket's plane, which it must have.
func (b *bucket) plane() int { return bits.TrailingZeros8(uint8(b.bit)) }

// dropRange is a half-open range of bucket numbers.
type dropRange struct {
	from, to int64
	trail    bool // only their trails go
	plane    bool // their planes were kept, or may have been
}

func newShard(e *Engine, id uint32, topic string, partition int32) *shard {
	return &shard{
		e: e, id: id, topic: topic, partition: partition,
		empty: true, committed: -1, durable: -1, forgotten: map[bucketHash]struct{}{},
	}
}

// current returns the bucket of stream time. The shard must not be empty.
func (s *shard) current() *bucket { return &s.buckets[len(s.buckets)-1] }

// indexOf returns the position in buckets of the bucket that was current when offset o was taken in; -1 when o is below
// the start or below the oldest boundary still known. Offsets asked for are mostly recent, so it searches from the end.
func (s *shard) indexOf(o int64) int {
	if s.empty || o < s.start {
		return -1
	}
	for i := len(s.buckets) - 1; i >= 0; i-- {
		if s.buckets[i].first <= o {
			return i
		}
	}
	return -1
}

// lowest returns the position of the oldest bucket with num >= low.
func (s *shard) lowest(low int64) int {
	i := 0
	for i < len(s.buckets) && s.buckets[i].num < low {
		i++
	}
	return i
}

// find looks for the bucket with a number; nil when it is not alive.
func (s *shard) find(num int64) *bucket {
	for i := len(s.buckets) - 1; i >= 0; i-- {
		if s.buckets[i].num == num {
			return &s.buckets[i]
		}
	}
	return nil
}

// begin starts a frame when none is begun.
func (s *shard) begin(from int64) {
	if !s.begun {
		s.enc.Begin(s.id, s.seq, from)
		s.begun = true
	}
}

// from is the coverage a frame starts at: -1 while nothing was taken in.
func (s *shard) from() int64 {
	if s.empty {
		return -1
	}
	return s.to
}

// fromBefore is the coverage just before the new record at offset o is taken in.
func (s *shard) fromBefore(o int64) int64 {
	if s.empty {
		return o
	}
	return s.to
}

// cutFrame hands what changed since the last frame to the log; not yet durable. Called with mu held.
func (s *shard) cutFrame() error {
	if s.replaying || (!s.begun && !s.changed) {
		return nil
	}
	s.begin(s.from())
	payload := s.enc.Finish(s.from(), s.committed, s.streamTime)
	pos, err := s.e.log.Append(payload)
	if err != nil {
		return s.e.fail(err)
	}
	s.e.logged(len(payload))
	s.seq++
	s.begun, s.changed = false, false
	s.lastPos = pos
	if s.firstPos == 0 {
		s.firstPos = pos
	}
	return nil
}

func (s *shard) openReader() (*index.Reader, error) {
	if !s.readerOpen {
		if err := s.e.index.ResetReader(&s.reader); err != nil {
			return nil, s.e.fail(err)
		}
		s.readerOpen = true
	}
	return &s.reader, nil
}

func (s *shard) closeReader() {
	if s.readerOpen {
		s.readerOpen = false
		if err := s.reader.Close(); err != nil {
			s.e.logger.Warn("closing an index reader", "err", err)
		}
	}
}
