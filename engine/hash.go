package engine

import (
	"encoding/binary"

	"github.com/dchest/siphash"
	"github.com/zeebo/xxh3"

	"noecho/bloom"
)

// seedLen is the length of a store's secret seed in bytes.
const seedLen = 16

// hasher turns keys into 128-bit hashes. Unseeded XXH3 has public collisions (two different keys of 32 bytes with one
// hash), and a collision is a dropped message: so both algorithms are always seeded. XXH3 takes 64 bits of the seed,
// SipHash-2-4-128 (Aumasson and Bernstein, 2012) all 128 as its key. Immutable.
type hasher struct {
	sip    bool
	k0, k1 uint64
}

func newHasher(name string, seed []byte) hasher {
	return hasher{
		sip: name == HashSipHash,
		k0:  binary.LittleEndian.Uint64(seed),
		k1:  binary.LittleEndian.Uint64(seed[8:]),
	}
}

func (h *hasher) sum(key []byte) bloom.Hash {
	if h.sip {
		lo, hi := siphash.Hash128(h.k0, h.k1, key)
		return bloom.Hash{Hi: hi, Lo: lo}
	}
	u := xxh3.Hash128Seed(key, h.k0)
	return bloom.Hash{Hi: u.Hi, Lo: u.Lo}
}

// sums hashes the keys of a batch into dst, which is long enough.
func (h *hasher) sums(recs []Record, dst []bloom.Hash) {
	if h.sip {
		for i := range recs {
			lo, hi := siphash.Hash128(h.k0, h.k1, recs[i].Key)
			dst[i] = bloom.Hash{Hi: hi, Lo: lo}
		}
		return
	}
	for i := range recs {
		u := xxh3.Hash128Seed(recs[i].Key, h.k0)
		dst[i] = bloom.Hash{Hi: u.Hi, Lo: u.Lo}
	}
}
