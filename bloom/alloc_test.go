//go:build !race

package bloom

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHotPathAllocatesNothing(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		f := make(Options{})
		f.Open(0, 100_000)
		fillPlane(f, 1, 1, 3000) // chained, in the ring kind
		var hs [64]Hash
		for i := range hs {
			hs[i] = hashOf(2, uint64(i))
		}
		var sink uint64
		var masks [len(hs)]Mask
		require.Zero(t, testing.AllocsPerRun(100, func() {
			f.TestAll(hs[:], masks[:])
			for _, h := range hs {
				sink += uint64(f.Test(h))
				f.Add(h, 0)
			}
			sink += f.Count(0)
		}))
		require.Equal(t, uint64(101*len(hs)), f.Count(0), "the adds did happen, and sink %d", sink)
	})
}

func TestClearingInStepsAllocatesNothing(t *testing.T) {
	f := NewSliced(Options{})
	f.Open(0, 100_000)
	fillPlane(f, 1, 0, 1000)
	fillPlane(f, 2, 1, 1000)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		require.False(t, f.ClearSome(0, 4096))
	}))
}
