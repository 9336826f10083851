package index

import (
	"context"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// blocks is a trail's content: a block for each of the offsets.
func blocks(firsts ...int64) iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		for _, first := range firsts {
			if !yield(first, blockOf(first)) {
				return
			}
		}
	}
}

func blockOf(first int64) []byte { return fmt.Appendf(nil, "block at %d", first) }

func openTrails(t *testing.T, fs vfs.FS) *Index {
	x, err := Open("index", Options{FS: fs})
	require.NoError(t, err)
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// trailAt asks with a fresh reader, that was used for a Get before.
func trailAt(t *testing.T, x *Index, partition uint32, bucket uint64, offset int64) (int64, bool) {
	t.Helper()
	r, err := x.Reader()
	require.NoError(t, err)
	defer r.Close()
	_, _, err = r.Get(partition, bucket, 1, 1)
	require.NoError(t, err)
	first, block, ok, err := r.TrailAt(partition, bucket, offset, []byte("kept "))
	require.NoError(t, err)
	if ok {
		require.Equal(t, "kept "+string(blockOf(first)), string(block))
	}
	return first, ok
}

func TestTrail(t *testing.T) {
	fs := vfs.NewMem()
	x := openTrails(t, fs)
	require.False(t, x.HasTrails())
	ctx := context.Background()
	one := func(yield func(Entry) bool) { yield(Entry{Hi: 1, Lo: 1, Offset: 5}) }
	require.NoError(t, x.Ingest(ctx,
		[]Run{{Partition: 1, Bucket: 7, Entries: one}, {Partition: 2, Bucket: 7, Entries: one}}, nil,
		Trail{Partition: 1, Bucket: 6, Blocks: blocks(100, 0)}, Trail{Partition: 1, Bucket: 7, Blocks: blocks(math.MaxInt64, 300, 200)},
		Trail{Partition: 2, Bucket: 7, Blocks: blocks(50)}))
	require.True(t, x.HasTrails())
	for _, c := range []struct {
		partition uint32
		bucket    uint64
		offset    int64
		first     int64 // -1: none
	}{
		{1, 6, 0, 0}, {1, 6, 99, 0}, {1, 6, 100, 100}, {1, 6, 1 << 40, 100},
		{1, 7, 199, -1}, {1, 7, 200, 200}, {1, 7, 299, 200}, {1, 7, 301, 300}, {1, 7, math.MaxInt64, math.MaxInt64},
		{1, 5, 1 << 40, -1}, {1, 8, 1 << 40, -1}, {2, 7, 49, -1}, {2, 7, 50, 50}, {3, 7, 50, -1},
	} {
		first, ok := trailAt(t, x, c.partition, c.bucket, c.offset)
		require.Equal(t, c.first >= 0, ok, "%+v", c)
		require.Equal(t, max(c.first, 0), first, "%+v", c)
	}
	require.NoError(t, x.Check())

	all, err := x.DiskBytes(1, 0, math.MaxUint64)
	require.NoError(t, err)
	part, err := x.TrailBytes(1, 0, math.MaxUint64)
	require.NoError(t, err)
	require.NotZero(t, part)
	require.Greater(t, all, part)

	// A block replaces one at the same offset; others are seen beside it.
	require.NoError(t, x.Ingest(ctx, nil, nil, Trail{Partition: 1, Bucket: 7, Blocks: blocks(300, 250)}))
	first, ok := trailAt(t, x, 1, 7, 299)
	require.True(t, ok)
	require.Equal(t, int64(250), first)

	// Marks do not go with their trail, but the trail with its marks.
	require.NoError(t, x.DropTrail(ctx, 1, 6, 7))
	_, ok = trailAt(t, x, 1, 6, 50)
	require.False(t, ok)
	_, ok = trailAt(t, x, 1, 7, 299)
	require.True(t, ok)
	require.NoError(t, x.DropBuckets(ctx, 1, 7, 8))
	_, ok = trailAt(t, x, 1, 7, 299)
	require.False(t, ok)
	first, ok = trailAt(t, x, 2, 7, 60)
	require.True(t, ok)
	require.Equal(t, int64(50), first)

	require.NoError(t, x.Close())
	x = openTrails(t, fs)
	require.True(t, x.HasTrails(), "not found again")
	require.NoError(t, x.DropPartition(ctx, 2))
	_, ok = trailAt(t, x, 2, 7, 60)
	require.False(t, ok)
	n, err := x.DiskBytes(2, 0, math.MaxUint64)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, x.Check())
	require.NoError(t, x.Close())
	x = openTrails(t, fs)
	require.False(t, x.HasTrails())
}

func TestTrailInput(t *testing.T) {
	x := openTrails(t, vfs.NewMem())
	for name, trails := range map[string][]Trail{
		"partition 0":        {{Bucket: 1, Blocks: blocks(1)}},
		"no partition's id":  {{Partition: trailBit, Bucket: 1, Blocks: blocks(1)}},
		"order of blocks":    {{Partition: 1, Bucket: 1, Blocks: blocks(2, 2)}},
		"negative":           {{Partition: 1, Bucket: 1, Blocks: blocks(-1)}},
		"order of trails":    {{Partition: 1, Bucket: 1, Blocks: blocks(1)}, {Partition: 1, Bucket: 1, Blocks: blocks(2)}},
		"order of partition": {{Partition: 2, Bucket: 1, Blocks: blocks(1)}, {Partition: 1, Bucket: 2, Blocks: blocks(2)}},
	} {
		var bad *InputError
		require.ErrorAs(t, x.Ingest(context.Background(), nil, nil, trails...), &bad, name)
	}
	var bad *InputError
	run := Run{Partition: trailBit + 1, Entries: func(func(Entry) bool) {}}
	require.ErrorAs(t, x.Ingest(context.Background(), []Run{run}, nil), &bad)
	r, err := x.Reader()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	_, _, _, err = r.TrailAt(1, 1, 1, nil)
	require.ErrorIs(t, err, errReaderClosed)
}

// TestTrailsAreNotMixed: compactions keep the trail of each bucket in tables of its own, so that it can go whole.
func TestTrailsAreNotMixed(t *testing.T) {
	x := openTrails(t, vfs.NewMem())
	for i := range int64(4) {
		var trails []Trail
		for p := uint32(1); p <= 2; p++ {
			for b := uint64(1); b <= 3; b++ {
				trails = append(trails, Trail{Partition: p, Bucket: b, Blocks: blocks(10+i, i)})
			}
		}
		require.NoError(t, x.Ingest(context.Background(), nil, nil, trails...))
	}
	require.NoError(t, x.db.Compact(context.Background(), []byte{0}, []byte{0xff, 0xff, 0xff, 0xff, 0xff}, false))
	levels, err := x.db.SSTables()
	require.NoError(t, err)
	tables := 0
	for _, level := range levels {
		for _, table := range level {
			p1, b1, _, ok := decodeTrailKey(table.Smallest.UserKey)
			require.True(t, ok)
			p2, b2, _, _ := decodeTrailKey(table.Largest.UserKey)
			require.Equal(t, [2]uint64{uint64(p1), b1}, [2]uint64{uint64(p2), b2})
			tables++
		}
	}
	require.Equal(t, 6, tables)
	require.NoError(t, x.Check())
}
