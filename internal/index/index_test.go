package index

import (
	"context"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func run(partition uint32, bucket uint64, es ...Entry) Run {
	return Run{Partition: partition, Bucket: bucket, Entries: slices.Values(es)}
}

func TestSmoke(t *testing.T) {
	x, err := Open("d", Options{FS: vfs.NewMem()})
	require.NoError(t, err)
	require.NoError(t, x.Ingest(context.Background(), []Run{run(1, 2, Entry{1, 1, 0}, Entry{1, 2, 1 << 40})},
		[]Meta{{Key: []byte("k"), Value: []byte("v")}}))
	r, err := x.Reader()
	require.NoError(t, err)
	off, ok, err := r.Get(1, 2, 1, 2)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, int64(1<<40), off)
	require.NoError(t, x.DropBuckets(context.Background(), 1, 2, 3))
	require.NoError(t, r.Close())
	require.NoError(t, x.ResetReader(r))
	_, ok, err = r.Get(1, 2, 1, 2)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, x.Check())
	t.Logf("%+v", x.Metrics())
	require.NoError(t, x.Close())
}
