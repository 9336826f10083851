package index

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMergedIgnoresStack: once a reader has looked into a stack it knows all of its tables, and lookups in buckets that are merged
// ask none of their filters.
func TestMergedIgnoresStack(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	m := newModel()
	stackRuns(t, x, m, 1, 8, 1000)
	stackRuns(t, x, m, 2, 1, 1)
	stackRuns(t, x, m, 2, 8, 1000)
	eventually(t, "the old bucket is merged", func() bool { return stacked(t, x, 1) == 0 && x.settler.runs(1, 1) == 0 })
	require.Equal(t, 8, stacked(t, x, 2))

	r, err := x.Reader()
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	asked := func(bucket uint64) int64 {
		f := x.db.Metrics().Filter
		before := f.Hits + f.Misses
		for range 100 {
			for k, offset := range m.marks {
				if k.bucket == bucket {
					got, ok, err := r.Get(k.partition, k.bucket, k.hi, k.lo)
					require.NoError(t, err)
					require.True(t, ok)
					require.Equal(t, offset, got)
					break
				}
			}
		}
		f = x.db.Metrics().Filter
		return f.Hits + f.Misses - before
	}
	require.Positive(t, asked(2))
	require.Zero(t, asked(1))
	require.Positive(t, asked(2))
	requireState(t, x, m)
}
