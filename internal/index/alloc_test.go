//go:build !race && !invariants

package index

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// Pebble's own invariant checks allocate: hence the build tags.

// TestReaderAllocs: a batch opens a reader, looks marks up and closes it without
// an allocation.
func TestReaderAllocs(t *testing.T) {
	x := open(t, Options{FS: vfs.NewMem()})
	es := randomEntries(1, 10_000, 1e9)
	require.NoError(t, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: slices.Values(es)}}, nil))
	var r Reader
	hits, misses := 0, 0
	allocs := testing.AllocsPerRun(1000, func() {
		if err := x.ResetReader(&r); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(es); i += 1000 {
			_, ok, err := r.Get(1, 1, es[i].Hi, es[i].Lo)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				hits++
			}
			if _, ok, _ = r.Get(1, 1, es[i].Hi, es[i].Lo+1); !ok {
				misses++
			}
		}
		_ = r.Close()
	})
	require.Equal(t, 10*1001, hits)
	require.Equal(t, 10*1001, misses)
	require.Zero(t, allocs)
}

// TestIngestAllocs: a key costs no allocation (a block of 4 KiB costs a few bytes
// of index).
func TestIngestAllocs(t *testing.T) {
	x := open(t, Options{FS: vfs.NewMem(), tune: manual})
	const n = 100_000
	es := randomEntries(1, n, 1e9)
	bucket := uint64(0)
	allocs := testing.AllocsPerRun(5, func() {
		bucket++
		err := x.Ingest(ctxb, []Run{{Partition: 1, Bucket: bucket, Entries: slices.Values(es)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	})
	require.Less(t, allocs/n, 0.1)
}
