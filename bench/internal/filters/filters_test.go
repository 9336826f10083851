package filters

import (
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/bench/internal/child"
	"noecho/bench/internal/workload"
	"noecho/bloom"
)

func TestMeasure(t *testing.T) {
	for _, name := range All {
		r, err := Measure(t.Context(), Spec{Name: name, Keys: 200_000, Bits: 16}, func(child.Progress) {})
		require.NoError(t, err)
		require.Less(t, r.FalsePositives, 0.05, name)
		require.GreaterOrEqual(t, r.Bytes, 1.9, name)
		require.Positive(t, r.AddNs)
		require.Positive(t, r.TestNs)
		require.Equal(t, name == Sliced || name == Ring, r.BatchNs > 0)
	}
	_, err := Measure(t.Context(), Spec{Name: "cuckoo"}, nil)
	require.ErrorContains(t, err, "cuckoo")
}

// TestNoFalseNegatives: what is compared are filters.
func TestNoFalseNegatives(t *testing.T) {
	w, _ := workload.Find("new")
	for _, name := range All {
		s, err := newSet(Spec{Name: name, Keys: 10_000, Bits: 16})
		require.NoError(t, err)
		src, b, hs := w.NewSource(0, 10_000), w.NewBatch(batch), make([]bloom.Hash, batch)
		s.begin(0, 10_000)
		for range 100 {
			next(src, b, hs)
			for i := range hs {
				s.add(b.Records[i].Key, hs[i], 0)
				require.True(t, s.test(b.Records[i].Key, hs[i]), name)
			}
		}
	}
}

func TestAtEqualRate(t *testing.T) {
	measured := 0
	fake := func(bits float64) (Result, error) {
		measured++
		return Result{Bits: bits, FalsePositives: 1 / bits}, nil
	}
	r, err := AtEqualRate(0.05, fake)
	require.NoError(t, err)
	require.EqualValues(t, 20, r.Bits)
	require.LessOrEqual(t, measured, 5)
	r, err = AtEqualRate(0.0001, fake)
	require.NoError(t, err)
	require.EqualValues(t, 32, r.Bits)
}
