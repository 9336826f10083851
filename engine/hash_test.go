package engine

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/xxh3"
)

// collidingKeys are two keys with one unseeded XXH3-128, for every tail: the multiplication of the algorithm's middle
// range is 0 for this word, in either order of the halves.
func collidingKeys(tail string) (a, b []byte) {
	const w = uint64(0x73afc2c92a3a0044)
	put := binary.LittleEndian.AppendUint64
	a = append(put(put(nil, w), ^w), tail...)
	b = append(put(put(nil, ^w), w), tail...)
	return a, b
}

// TestSeedBreaksKnownCollision: what anyone can look up must not make two messages one.
func TestSeedBreaksKnownCollision(t *testing.T) {
	a, b := collidingKeys("order-0000000001")
	require.Equal(t, xxh3.Hash128(a), xxh3.Hash128(b), "the pair does not collide: this test shows nothing")
	for _, name := range []string{HashXXH3, HashSipHash} {
		h := newHasher(name, []byte("0123456789abcdef"))
		require.NotEqual(t, h.sum(a), h.sum(b), name)
	}
}

// TestSipHashReference: the first vectors of the reference implementation (SipHash-2-4-128, key 00 to 0f, input 00, 01, ...).
func TestSipHashReference(t *testing.T) {
	want := []string{
		"a3817f04ba25a8e66df67214c7550293",
		"da87c1d86b99af44347659119b22fc45",
		"8177228da4a45dc7fca38bdef60affe4",
		"9c70b60c5267a94e5f33b6b02985ed51",
	}
	key, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	require.NoError(t, err)
	h := newHasher(HashSipHash, key)
	for n, w := range want {
		b, err := hex.DecodeString(w)
		require.NoError(t, err)
		got := h.sum([]byte{0, 1, 2, 3}[:n])
		require.Equal(t, binary.LittleEndian.Uint64(b), got.Lo, "%d bytes", n)
		require.Equal(t, binary.LittleEndian.Uint64(b[8:]), got.Hi, "%d bytes", n)
	}
}

// TestHashesOfABatch: one by one or as a batch, the hash of a key is the same, and it depends on the seed.
func TestHashesOfABatch(t *testing.T) {
	recs := []Record{{Key: nil}, {Key: []byte{}}, {Key: []byte("a")}, {Key: make([]byte, 1000)}}
	for _, name := range []string{HashXXH3, HashSipHash} {
		h, other := newHasher(name, []byte("0123456789abcdef")), newHasher(name, []byte("1123456789abcdef"))
		var s shard
		hs := s.hashes[:len(recs)]
		h.sums(recs, hs)
		for i := range recs {
			require.Equal(t, h.sum(recs[i].Key), hs[i], name)
			require.NotEqual(t, other.sum(recs[i].Key), hs[i], name)
		}
		require.Equal(t, hs[0], hs[1], "no key and an empty one are the same key")
	}
}
