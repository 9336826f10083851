package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func TestIngestRefusesBadInput(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	ok := Entry{5, 5, 5}
	bad := func(what string, runs []Run, metas ...Meta) {
		t.Helper()
		err := x.Ingest(ctxb, runs, metas)
		var input *InputError
		require.ErrorAs(t, err, &input)
		require.ErrorContains(t, err, what)
		requireState(t, x, newModel())
		ls, err := x.fs.List(x.tmpDir)
		require.NoError(t, err)
		require.Empty(t, ls)
	}
	bad("ids of partitions are from 1", []Run{run(0, 1, ok)})
	bad("entry 1", []Run{run(1, 1, ok, ok)})
	bad("entry 1", []Run{run(1, 1, ok, Entry{5, 4, 0})})
	bad("entry 2", []Run{run(1, 1, Entry{1, 9, 0}, ok, Entry{4, 9, 0})})
	bad("partition 1, bucket 1", []Run{run(1, 1, ok), run(1, 1, ok)})
	bad("partition 1, bucket 9", []Run{run(2, 1, ok), run(1, 9, ok)})
	bad(`meta "a"`, []Run{run(1, 1, ok)}, Meta{Key: []byte("a")}, Meta{Key: []byte("a")})
	bad(`meta "a"`, nil, Meta{Key: []byte("b")}, Meta{Key: []byte("a")})
	require.ErrorAs(t, x.DropPartition(ctxb, 0), new(*InputError))
	require.ErrorAs(t, x.DropBuckets(ctxb, 0, 1, 2), new(*InputError))
}

func TestIngestOfNothing(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	require.NoError(t, x.Ingest(ctxb, nil, nil))
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1), run(1, 2)}, nil))
	require.NoError(t, x.DropBuckets(ctxb, 1, 3, 3))
	require.NoError(t, x.DropPartition(ctxb, 9))
	require.Zero(t, x.Metrics().Tables)
	// Empty runs between others leave no table.
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1), run(1, 2, Entry{1, 1, 1}), run(1, 3)}, nil))
	require.EqualValues(t, 1, x.Metrics().Tables)
}

func TestIngestSplitsTables(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	x.tableSize = 1
	es := randomEntries(1, 3*checkEvery+1, 1e9)
	require.NoError(t, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: slices.Values(es)}}, nil))
	m := x.Metrics()
	require.EqualValues(t, 4, m.Tables)
	require.Zero(t, m.L0Files)
	i := 0
	require.NoError(t, x.Scan(ctxb, 1, 1, 2, func(bucket uint64, e Entry) error {
		if e != es[i] {
			return fmt.Errorf("entry %d is %v, want %v", i, e, es[i])
		}
		i++
		return nil
	}))
	require.Len(t, es, i)
	disk, err := x.DiskBytes(1, 0, math.MaxUint64)
	require.NoError(t, err)
	require.Equal(t, m.TableBytes, disk)
}

// TestIngestContext: a context that ends while tables are written leaves nothing
// behind, and one that has ended is refused.
func TestIngestContext(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	ctx, cancel := context.WithCancel(ctxb)
	endless := func(yield func(Entry) bool) {
		for i := uint64(0); yield(Entry{i, 0, 1}); i++ {
			if i == 2*checkEvery+10 {
				cancel()
			}
		}
	}
	require.ErrorIs(t, x.Ingest(ctx, []Run{{Partition: 1, Bucket: 1, Entries: endless}}, nil), context.Canceled)
	require.ErrorIs(t, x.Ingest(ctx, nil, nil), context.Canceled)
	require.ErrorIs(t, x.DropPartition(ctx, 1), context.Canceled)
	requireState(t, x, newModel())
	ls, err := x.fs.List(x.tmpDir)
	require.NoError(t, err)
	require.Empty(t, ls)

	x.writer <- struct{}{} // another one is writing
	ctx, cancel = context.WithCancel(ctxb)
	waiting := make(chan error)
	go func() { waiting <- x.Ingest(ctx, nil, nil) }()
	cancel()
	require.ErrorIs(t, <-waiting, context.Canceled)
	<-x.writer
}

func TestOpenRemovesLeftOvers(t *testing.T) {
	fs := leaks(t)
	require.NoError(t, fs.MkdirAll("store/ingest-tmp", 0o755))
	f, err := fs.Create("store/ingest-tmp/000001.sst", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	x := open(t, Options{FS: fs})
	ls, err := fs.List(x.tmpDir)
	require.NoError(t, err)
	require.Empty(t, ls)
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil))
}

// TestScanStops: fn's error ends a scan and comes back as it is; so does the
// context's.
func TestScanStops(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	es := randomEntries(1, 3*scanCheckEvery, 0)
	require.NoError(t, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: slices.Values(es)}},
		[]Meta{{Key: []byte("k")}}))
	stop := errors.New("stop")
	n := 0
	require.ErrorIs(t, x.Scan(ctxb, 1, 0, 9, func(uint64, Entry) error { n++; return stop }), stop)
	require.Equal(t, 1, n)
	require.ErrorIs(t, x.EachMeta(func(_, _ []byte) error { return stop }), stop)
	ctx, cancel := context.WithCancel(ctxb)
	n = 0
	require.ErrorIs(t, x.Scan(ctx, 1, 0, 9, func(uint64, Entry) error { n++; cancel(); return nil }), context.Canceled)
	require.Equal(t, scanCheckEvery, n)
	require.NoError(t, x.Scan(ctxb, 1, 9, 9, func(uint64, Entry) error { return stop }))
	_, ok, err := x.GetMeta([]byte("no"))
	require.NoError(t, err)
	require.False(t, ok)
}
