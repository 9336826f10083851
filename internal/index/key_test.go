package index

import (
	"bytes"
	"cmp"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestKeyOrder(t *testing.T) {
	type tuple struct {
		partition      uint32
		bucket, hi, lo uint64
	}
	gen := rapid.Custom(func(t *rapid.T) tuple {
		u := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 2), rapid.Uint64Min(math.MaxUint64-2))
		return tuple{uint32(u.Draw(t, "partition")), u.Draw(t, "bucket"), u.Draw(t, "hi"), u.Draw(t, "lo")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		var ka, kb [keyLen]byte
		putKey(&ka, a.partition, a.bucket, a.hi, a.lo)
		putKey(&kb, b.partition, b.bucket, b.hi, b.lo)
		require.Equal(t, cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.bucket, b.bucket),
			cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo)), bytes.Compare(ka[:], kb[:]))
		p, bk, hi, lo, ok := decodeKey(ka[:])
		require.Equal(t, a, tuple{p, bk, hi, lo})
		require.Equal(t, p != metaPartition && p < trailBit, ok)
		// The ends lie above all of their own and not above the next.
		below := func(end []byte, same, next bool) {
			require.Negative(t, bytes.Compare(ka[:], end))
			if same {
				require.Negative(t, bytes.Compare(kb[:], end))
			} else if next {
				require.GreaterOrEqual(t, bytes.Compare(kb[:], end), 0)
			}
		}
		below(appendPartitionEnd(nil, a.partition), a.partition == b.partition, a.partition < b.partition)
		same := a.partition == b.partition && a.bucket == b.bucket
		below(appendBucketEnd(nil, a.partition, a.bucket), same, bytes.Compare(ka[:], kb[:]) < 0)
	})
}

func TestOffsetCodec(t *testing.T) {
	for offset, size := range map[int64]int{
		0: 0, 1: 1, 255: 1, 256: 2, 1e9: 4, math.MaxUint32: 4, math.MaxUint32 + 1: 5, math.MaxInt64: 8,
	} {
		value := appendOffset(nil, offset)
		require.Len(t, value, size)
		got, ok := decodeOffset(value)
		require.True(t, ok)
		require.Equal(t, offset, got)
	}
}

// FuzzDecodeOffset: a value decodes only if it is what appendOffset writes.
func FuzzDecodeOffset(f *testing.F) {
	for _, seed := range [][]byte{nil, {0}, {1}, {0, 1}, {1, 0}, bytes.Repeat([]byte{0xff}, 8), make([]byte, 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		offset, ok := decodeOffset(value)
		if !ok {
			return
		}
		require.GreaterOrEqual(t, offset, int64(0))
		require.Equal(t, append([]byte{}, value...), appendOffset([]byte{}, offset))
	})
}

// FuzzDecodeKey: a key decodes only if it is what putKey writes.
func FuzzDecodeKey(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1}, keyLen))
	f.Add(make([]byte, keyLen))
	f.Fuzz(func(t *testing.T, key []byte) {
		partition, bucket, hi, lo, ok := decodeKey(key)
		if !ok {
			return
		}
		var again [keyLen]byte
		putKey(&again, partition, bucket, hi, lo)
		require.Equal(t, key, again[:])
		_, end, err := bucketSpan(key)
		require.NoError(t, err)
		require.Positive(t, bytes.Compare(end, key))
	})
}
