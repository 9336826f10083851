package engine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/bloom"
)

// TestTrailBlock: what is followed is visited again, over block ends, and to the byte.
func TestTrailBlock(t *testing.T) {
	pool := newTrailMemory()
	table := &table{}
	require.Equal(t, int64(-1), table.trailEnd())
	offsets := []int64{7, 8, 300, 1 << 40, 1<<63 - 2}
	for i, o := range offsets {
		table.follow(bloom.Hash{Hi: uint64(i), Lo: ^uint64(i)}, o, pool)
		require.Equal(t, o, table.trailEnd())
	}
	require.Len(t, table.trail, 1)
	le := func(v byte) []byte { return []byte{v, 0, 0, 0, 0, 0, 0, 0} }
	ff := bytes.Repeat([]byte{0xff}, 7)
	want := append(append(append(le(0), 0xff), ff...), 0)                 // 7, the key's
	want = append(append(append(append(want, le(1)...), 0xfe), ff...), 1) // 8
	require.Equal(t, want, table.trail[0].buf[:len(want)])

	for range 5000 { // more than a block
		table.follow(bloom.Hash{Hi: 1, Lo: 1}, 1<<63-2, pool)
	}
	require.Greater(t, len(table.trail), 4)
	var got []int64
	last := int64(1<<63 - 1)
	for first, block := range table.trailBlocks {
		require.LessOrEqual(t, first, last, "the last block comes first")
		last = first
		var part []int64
		require.True(t, visitTrail(first, block, func(_ bloom.Hash, offset int64) { part = append(part, offset) }))
		got = append(part, got...)
	}
	require.Len(t, got, 5005)
	require.Equal(t, offsets, got[:5])
	table.dropTrail(pool)
	require.Zero(t, pool.bytes())
}

// FuzzTrailBlock: whatever the bytes are, offsets never go down and nothing is read beyond the end.
func FuzzTrailBlock(f *testing.F) {
	f.Add(int64(0), []byte{})
	f.Add(int64(5), make([]byte, 17))
	f.Add(int64(5), append(make([]byte, 33), 0xff, 0xff))
	f.Add(int64(1<<63-1), append(make([]byte, 16), 1))
	f.Fuzz(func(t *testing.T, first int64, block []byte) {
		if first < 0 {
			return
		}
		last, n := first, 0
		ok := visitTrail(first, block, func(_ bloom.Hash, offset int64) {
			if offset < last {
				t.Fatalf("offset %d after %d", offset, last)
			}
			last = offset
			n++
		})
		if ok && n*17 > len(block) {
			t.Fatalf("%d marks in %d bytes", n, len(block))
		}
	})
}

// TestTrailCache against a map that forgets nothing: what the cache gives is right, and the last blocks are all there.
func TestTrailCache(t *testing.T) {
	c := newTrailCache()
	hash := func(i int64) bloom.Hash { return bloom.Hash{Hi: uint64(i), Lo: uint64(i*7) % 97} } // probes run into each other
	for i := range int64(3 * cacheFull) {
		h := hash(i)
		h.Lo += uint64(i) << 8
		c.put(i%3, h, i)
		for j := max(0, i-100); j <= i; j += 25 {
			k := hash(j)
			k.Lo += uint64(j) << 8
			require.Equal(t, j, c.get(j%3, k))
			require.Equal(t, int64(-1), c.get(j%3+1, k), "a mark of another bucket")
		}
	}
	require.True(t, c.used)
	require.Equal(t, int64(-1), c.get(0, hash(0)), "the first generation is gone")
}
