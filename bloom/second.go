package bloom

import (
	"math/bits"
	"runtime"
)

// Second is a second opinion on one set, asked where a [Filter] has said maybe: it errs on other keys.
//
// A Filter errs for one key in some hundred, and what the error costs is not the same everywhere: in a bucket that lies in one table of the index it
// is one lookup, in one that is still a stack of a hundred runs it is a hundred. More bits for all keys would cost memory for buckets
// that are long merged. So the keys of the stack get a filter of their own beside the other, a byte each, which goes when they are merged.
//
// It is made of narrow layers (narrow.go), each twice as large as those before together unless more is foreseen, so that a set whose size nobody knows is in few: each
// has its own errors. Blocks are chosen by
// Hi as in the filter, so that keys which come in the order of their hashes go through memory once; the slots by other bits of Lo.
//
// The zero value is an empty set. Not safe for concurrent use. Test and Add allocate nothing.
type Second struct {
	layers []narrow // the last takes the adds
}

// secondBits a key, at 8 probes: of the keys that are not there 3 in 100 come through, and in a set that has grown as many for each layer.
const secondBits = 8

// Room is how many keys may be added before it has to grow.
func (s *Second) Room() uint64 {
	if len(s.layers) == 0 {
		return 0
	}
	l := &s.layers[len(s.layers)-1]
	return l.capacity - min(l.adds, l.capacity)
}

// Count is how many keys were added.
func (s *Second) Count() (n uint64) {
	for i := range s.layers {
		n += s.layers[i].adds
	}
	return n
}

// Bytes is the memory it holds.
func (s *Second) Bytes() (n int64) {
	for i := range s.layers {
		n += int64(len(s.layers[i].blocks)) * int64(len(slim{}))
	}
	return n
}

// Grow takes memory for so many keys more, which may take long, and does not touch the set: apply, which the caller calls with the set to himself, puts it into place.
func (s *Second) Grow(keys uint64) (apply func()) {
	l := newNarrow(0, min(max(keys, 2*s.Count(), defaultMinKeys), maxLayerKeys), secondBits)
	return func() { s.layers = append(s.layers, l) }
}

// Join takes in the keys of another set, which must not be used any more.
func (s *Second) Join(o *Second) {
	s.layers = append(s.layers, o.layers...)
	o.layers = nil
}

// Add adds a key. There must be room, or errors become more frequent.
func (s *Second) Add(h Hash) {
	l := &s.layers[len(s.layers)-1]
	l.adds++
	l.block(h).add(otherSlots(h.Lo))
	runtime.KeepAlive(s)
}

// Test is false only for keys that were not added.
func (s *Second) Test(h Hash) bool {
	lo := otherSlots(h.Lo)
	found := byte(0)
	for i := range s.layers {
		found |= s.layers[i].block(h).test(lo)
	}
	runtime.KeepAlive(s)
	return found != 0
}

// otherSlots are bits for the slots that have nothing to do with those the filter takes of lo as they are: the high half of a product depends on all of them. (The factor is that of Fibonacci
// hashing: Knuth, TAOCP 3, 6.4.)
func otherSlots(lo uint64) uint64 {
	high, low := bits.Mul64(lo, 0x9e3779b97f4a7c15)
	return high ^ low
}
