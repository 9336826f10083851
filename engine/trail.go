package engine

import (
	"encoding/binary"
	"slices"
	"sync"

	"noecho/bloom"
	"noecho/internal/index"
)

// The trail: marks in the order of the log, beside the index, which has them by hash.
//
// A producer republishes yesterday: millions of copies of records that left the tables long ago. One lookup in the index
// for each caps the consumer at some 0.3 M records a second. But the copies come in the order of the originals. So where two marks that
// were found in the index lie close to each other in the log, their neighbours are read from the trail, a block of
// some 900 at a time, into a small cache; the next copies are found there (locality preserved caching: Zhu, Li, Patterson, "Avoiding
// the Disk Bottleneck in the Data Domain Deduplication File System", FAST 2008).
//
//	copies   c c c c c c c c ...        Get ── offset 1000 ─┐ near 998, which the one before gave
//	                                                        ▼
//	trail    | 0 .. 950 | 951 .. 1907 | 1908 ..     block of 1000 ─► cache ─► 907 copies without a lookup
//
// It costs 17 bytes of disk a key, which is why it is a choice (Options.Trail). It decides nothing: what is in the cache is a mark that is in
// the index, and what is not is looked up. So a trail may have holes. It must not have marks that are gone: see scar.

const (
	trailBlockBytes = 16 << 10
	trailMarkBytes  = 17 // of a mark, mostly
	maxTrailEntry   = 16 + binary.MaxVarintLen64

	// trailNear is how close two finds must lie to call for the block: reading it takes as long as some 8 lookups, and copies at
	// the distance of 256 offsets find 4 of their neighbours in it, ones at 20 offsets 45.
	trailNear = 256
	// trailFinds is how many places in the log are followed at the same time: copies of several producers come mixed.
	trailFinds = 8
)

// trailBlock is a block being written:
//
//	n times: hash hi 8 | hash lo 8 | offset, uvarint: what it is above the one before; the first above the block's key
//
// Little endian. In the index its key is the offset of its first mark.
type trailBlock struct {
	buf         [trailBlockBytes]byte
	n           int
	first, last int64
}

// maxLists bounds the lists that are kept; one of a table of a million marks has 10 KiB.
const maxLists = 64

// trailMemory is what trails are made of: blocks, and the lists of them, which grow with their table by allocations in the middle of a Check if each
// table begins with a new one. Safe for concurrent use.
type trailMemory struct {
	*pool[trailBlock]

	listMu sync.Mutex
	lists  [][]*trailBlock // empty ones; protected by listMu
}

func newTrailMemory() *trailMemory { return &trailMemory{pool: newPool[trailBlock]()} }

// list returns an empty list.
func (m *trailMemory) list() (l []*trailBlock) {
	m.listMu.Lock()
	defer m.listMu.Unlock()
	if n := len(m.lists); n > 0 {
		l, m.lists = m.lists[n-1], m.lists[:n-1]
	}
	return l
}

// giveBack takes a list and its blocks.
func (m *trailMemory) giveBack(l []*trailBlock) {
	for _, b := range l {
		m.put(b)
	}
	clear(l)
	m.listMu.Lock()
	defer m.listMu.Unlock()
	if cap(l) > 0 && len(m.lists) < maxLists {
		m.lists = append(m.lists, l[:0])
	}
}

// follow adds a mark to the table's trail; the caller sees to it that offsets ascend.
func (t *table) follow(h bloom.Hash, offset int64, memory *trailMemory) {
	var b *trailBlock
	if n := len(t.trail); n > 0 {
		b = t.trail[n-1]
	} else {
		t.trail = memory.list()
	}
	if b == nil || b.n > trailBlockBytes-maxTrailEntry {
		b = memory.get()
		b.n, b.first, b.last = 0, offset, offset
		t.trail = append(t.trail, b)
	}
	binary.LittleEndian.PutUint64(b.buf[b.n:], h.Hi)
	binary.LittleEndian.PutUint64(b.buf[b.n+8:], h.Lo)
	b.n += 16 + binary.PutUvarint(b.buf[b.n+16:], uint64(offset-b.last))
	b.last = offset
}

// trailEnd is the offset of the last mark in the trail; -1 when there is none.
func (t *table) trailEnd() int64 {
	if n := len(t.trail); n > 0 {
		return t.trail[n-1].last
	}
	return -1
}

// trailBlocks yields the blocks of a frozen table, the last one first.
func (t *table) trailBlocks(yield func(int64, []byte) bool) {
	for _, b := range slices.Backward(t.trail) {
		if !yield(b.first, b.buf[:b.n]) {
			return
		}
	}
}

// dropTrail gives the blocks back.
func (t *table) dropTrail(memory *trailMemory) {
	memory.giveBack(t.trail)
	t.trail = nil
}

// visitTrail calls f for the marks of a block whose first one has that offset. It says false when the block is none.
func visitTrail(first int64, block []byte, f func(h bloom.Hash, offset int64)) bool {
	offset := first
	for len(block) > 0 {
		if len(block) < 17 {
			return false
		}
		h := bloom.Hash{Hi: binary.LittleEndian.Uint64(block), Lo: binary.LittleEndian.Uint64(block[8:])}
		d, n := binary.Uvarint(block[16:])
		if n <= 0 || int64(d) < 0 || offset+int64(d) < offset {
			return false
		}
		offset += int64(d)
		f(h, offset)
		block = block[16+n:]
	}
	return true
}

// find is a mark that the index, or a block of the trail, gave.
type find struct {
	bucket, offset int64
}

// trailState is what a shard follows. Everything is protected by shard.mu.
type trailState struct {
	cache *trailCache // nil until the first block is read
	finds [trailFinds]find
	next  int    // the find that is overwritten next
	block []byte // scratch
}

// found takes note of a mark that the index gave for bucket b, and reads the block behind it where copies seem to come in the order of
// the log. Called with mu held and the reader open.
func (s *shard) found(b *bucket, offset int64) error {
	if !s.e.opt.Trail || b.scarred {
		return nil
	}
	st := &s.trail
	for i := range st.finds {
		f := &st.finds[i]
		if d := offset - f.offset; f.bucket == b.num && d > 0 && d <= trailNear {
			f.offset = offset
			return s.readTrail(b, f)
		}
	}
	st.finds[st.next%trailFinds] = find{b.num, offset}
	st.next++
	return nil
}

// readTrail puts the marks behind f, of bucket b, into the cache, and moves f to the last of them.
func (s *shard) readTrail(b *bucket, f *find) error {
	st := &s.trail
	first, block, ok, err := s.reader.TrailAt(s.id, uint64(b.num), f.offset, st.block[:0])
	st.block = block
	if err != nil {
		return s.e.fail(err)
	}
	if !ok {
		return nil
	}
	if st.cache == nil {
		st.cache = newTrailCache()
	}
	from, last := f.offset, f.offset
	s.counts.trailBlocks++
	if !visitTrail(first, block, func(h bloom.Hash, offset int64) {
		if offset > from {
			st.cache.put(b.num, h, offset)
			last = offset
		}
	}) {
		return s.e.fail(&StateError{Where: "trail", Reason: "a block does not decode"})
	}
	f.offset = last
	return nil
}

// scar gives up the trail of a bucket, because a mark in it goes: the index will not have it any more, and the trail must not bring it back. What
// is stored is dropped (the keeper does, before the next seal of this shard), what waits to be is not stored, and nothing of the bucket is read
// until the store is opened again. A coarse way, but marks go one by one only when an operator forgets a key. Called with mu held.
func (s *shard) scar(b *bucket) {
	s.trail.cache = nil
	for _, t := range s.unsealed {
		if t.bucket == b.num {
			t.scarred = true // the keeper may be reading it: its blocks go when it is sealed
		}
	}
	if s.active != nil && s.active.bucket == b.num {
		s.active.scarred = true
		s.active.dropTrail(s.e.trails)
	}
	if !s.e.opt.Trail && !s.e.index.HasTrails() {
		return
	}
	if !b.scarred || b.num == s.current().num { // an older bucket gets no new trail
		s.drops = append(s.drops, dropRange{from: b.num, to: b.num + 1, trail: true})
		s.e.wake()
	}
	b.scarred = true
}

// dropsTrail says whether the keeper has yet to drop a trail. A seal must wait for that: it may carry the state that knows of the
// key that was forgotten, and after a crash nothing would tell of the drop.
func (s *shard) dropsTrail() bool {
	for _, d := range s.drops {
		if d.trail {
			return true
		}
	}
	return false
}

// trails of the tables of a seal.
func (w *work) trails(dst []index.Trail) []index.Trail {
	for i, t := range w.tables {
		if w.trail[i] {
			dst = append(dst, index.Trail{Partition: w.s.id, Bucket: uint64(t.bucket), Blocks: t.trailBlocks})
		}
	}
	return dst
}
