package filters

import (
	"encoding/binary"

	bits "github.com/bits-and-blooms/bloom/v3"

	"noecho/bloom"
)

func hashOf(key []byte) bloom.Hash {
	return bloom.Hash{Hi: binary.LittleEndian.Uint64(key), Lo: binary.LittleEndian.Uint64(key[8:])}
}

// ours is one of noecho's.
type ours struct {
	f     bloom.Filter
	masks [batch]bloom.Mask
}

func (s *ours) begin(plane int, keys int64)           { s.f.Open(plane, uint64(keys)) }
func (s *ours) add(_ []byte, h bloom.Hash, plane int) { s.f.Add(h, plane) }
func (s *ours) test(_ []byte, h bloom.Hash) bool      { return s.f.Test(h) != 0 }
func (s *ours) bytes() int64                          { return s.f.Bytes() }

// testAll asks for a whole batch, and counts the keys that may be there.
func (s *ours) testAll(hs []bloom.Hash) (maybe int64) {
	s.f.TestAll(hs, s.masks[:len(hs)])
	for _, m := range s.masks[:len(hs)] {
		if m != 0 {
			maybe++
		}
	}
	return maybe
}

// classic hashes the key by itself (murmur3).
type classic struct{ f *bits.BloomFilter }

func (s *classic) begin(int, int64)                    {}
func (s *classic) add(key []byte, _ bloom.Hash, _ int) { s.f.Add(key) }
func (s *classic) test(key []byte, _ bloom.Hash) bool  { return s.f.Test(key) }
func (s *classic) bytes() int64                        { return int64(s.f.Cap() / 8) }

// hashed gives the library the places, made of the hash by double hashing, as the library itself would.
type hashed struct {
	f         *bits.BloomFilter
	m         uint64
	locations []uint64
}

func (s *hashed) places(h bloom.Hash) []uint64 {
	at := h.Hi
	for i := range s.locations {
		s.locations[i] = at
		at += h.Lo | 1
	}
	return s.locations
}

func (s *hashed) begin(int, int64) {}

func (s *hashed) add(_ []byte, h bloom.Hash, _ int) {
	b := s.f.BitSet()
	for _, at := range s.places(h) {
		b.Set(uint(at % s.m)) // the library has no AddLocations: its bits are public instead
	}
}
func (s *hashed) test(_ []byte, h bloom.Hash) bool { return s.f.TestLocations(s.places(h)) }
func (s *hashed) bytes() int64                     { return int64(s.f.Cap() / 8) }

// AtEqualRate finds the bits a key at which the filter of that name has at most so many false positives, by measuring: formulas
// know nothing of blocks and planes. Whole numbers from 8 to 32. It returns the last measurement when none has so few.
func AtEqualRate(rate float64, measure func(bits float64) (Result, error)) (r Result, err error) {
	low, high := 8, 32
	var best *Result
	for low <= high {
		mid := (low + high) / 2
		if r, err = measure(float64(mid)); err != nil {
			return r, err
		}
		if r.FalsePositives <= rate {
			kept := r
			best, high = &kept, mid-1
		} else {
			low = mid + 1
		}
	}
	if best != nil {
		r = *best
	}
	return r, nil
}
