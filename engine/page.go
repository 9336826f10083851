package engine

import (
	"math/bits"
	"unsafe"

	"noecho/bloom"
	"noecho/internal/index"
)

const (
	pageBits   = 9
	pageSlots  = 1 << pageBits
	groupSlots = 8
	pageGroups = pageSlots / groupSlots
	pageFull   = pageSlots * 7 / 8 // a page splits above this load
	pageBytes  = int64(unsafe.Sizeof(page{}))
)

// slot holds one mark. val is the offset plus one, or tombstone; never 0.
type slot struct {
	hi, lo uint64
	val    uint64
}

// tombstone in a slot says that the key was forgotten: it hides the mark an older table or the index may still hold.
const tombstone = ^uint64(0)

// page is an open-addressed table in groups of 8 slots, with a byte for each slot, its tag: 0 where the slot is free, else 7 bits of the
// hash. A group's tags are compared as one word (the control bytes of Abseil's Swiss tables, Kulukundis, CppCon
// 2017, without vector instructions).
//
// Naive are slots alone: 12 KiB a page, tens of megabytes a table, and each key that is looked up, mostly a new one, reads a
// line or two of it from memory, which takes longer than everything else in Check. The tags of a million marks
// are 2 MB and stay in the caches. They say of 19 new keys in 20 that no slot is to be read; a new mark only writes its slot, and
// nothing waits for a write.
type page struct {
	tags  [pageGroups]uint64
	n     int   // slots in use
	depth uint8 // hashes in the page share this many top bits
	_     [64 - 8 - 1]byte
	slots [pageSlots]slot // a slot whose tag is 0 holds anything
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// homeOf is the group where the search for a hash begins, and tagOf its tag: low bits of Lo, which the directory does not use.
func homeOf(h bloom.Hash) uint64 { return h.Lo % pageGroups }
func tagOf(h bloom.Hash) uint64  { return 0x80 | h.Lo/pageGroups%0x80 }

// matches marks, by their high bits, the bytes of word that are equal to tag, and perhaps one more above such a byte ("Bit Twiddling
// Hacks": determine if a word has a byte equal to n): each is held against the slot anyway.
func matches(word, tag uint64) uint64 {
	x := word ^ tag*everyByte
	return (x - everyByte) &^ x & highBits
}

// slotAt is the slot of the lowest byte that is marked in m, of a group.
func slotAt(group, m uint64) int { return int(group)*groupSlots + bits.TrailingZeros64(m)/8 }

// find returns the slot that holds the hash, or else the free slot where it would go.
func (g *page) find(h bloom.Hash) (i int, found bool) {
	tag := tagOf(h)
	for at := homeOf(h); ; at = (at + 1) % pageGroups {
		word := g.tags[at]
		for m := matches(word, tag); m != 0; m &= m - 1 {
			i := slotAt(at, m)
			if s := &g.slots[i]; s.lo == h.Lo && s.hi == h.Hi {
				return i, true
			}
		}
		if free := ^word & highBits; free != 0 {
			return slotAt(at, free), false
		}
	}
}

// fill puts a mark into the free slot i, which find gave.
func (g *page) fill(i int, s slot) {
	g.slots[i] = s
	g.tags[i/groupSlots] |= tagOf(bloom.Hash{Hi: s.hi, Lo: s.lo}) << (i % groupSlots * 8)
	g.n++
}

// filled yields the slots in use.
func (g *page) filled(yield func(*slot) bool) {
	for at, word := range g.tags {
		for m := word & highBits; m != 0; m &= m - 1 {
			if !yield(&g.slots[slotAt(uint64(at), m)]) {
				return
			}
		}
	}
}

// newPage returns an empty page. What its slots hold is of no account.
func newPage(p *tableMemory) *page {
	g := p.get()
	g.tags, g.n, g.depth = [pageGroups]uint64{}, 0, 0
	return g
}

// sorted writes the page's marks into out, in order.
func (g *page) sorted(out *[pageSlots]index.Entry) []index.Entry {
	var start [pageSlots + 1]uint16
	digit := func(hi uint64) uint64 { return hi << g.depth >> (64 - pageBits) }
	for x := range g.filled {
		start[digit(x.hi)+1]++
	}
	for i := 1; i < len(start); i++ {
		start[i] += start[i-1]
	}
	for x := range g.filled {
		d := digit(x.hi)
		out[start[d]] = index.Entry{Hi: x.hi, Lo: x.lo, Offset: offsetOf(x.val)}
		start[d]++
	}
	es := out[:g.n]
	for i := 1; i < len(es); i++ {
		e := es[i]
		j := i
		for ; j > 0 && (es[j-1].Hi > e.Hi || (es[j-1].Hi == e.Hi && es[j-1].Lo > e.Lo)); j-- {
			es[j] = es[j-1]
		}
		es[j] = e
	}
	return es
}
