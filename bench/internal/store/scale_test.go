package store

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
)

// TestGrowAndRecover: here the child is not killed but told to end, and its store is left open until then, so this tests the
// way of the figures; the kill is tested where the child is a process.
func TestGrowAndRecover(t *testing.T) {
	spec := Spec{Dir: filepath.Join(t.TempDir(), "store"), Keys: 300_000, Storm: 3000}
	ctx, cancel := context.WithCancel(t.Context())
	var grown GrowResult
	durable := int64(0)
	_, err := Grow(ctx, spec, func(p child.Progress) {
		if p.Data != nil {
			require.NoError(t, json.Unmarshal(p.Data, &grown))
		}
		if durable = max(durable, p.Value); durable > spec.Keys {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, spec.Keys, grown.Keys)
	require.Positive(t, grown.FirstRate)
	require.Positive(t, grown.IndexBytes+grown.LogBytes)
	require.Greater(t, durable, spec.Keys)
}

func TestTenths(t *testing.T) {
	life := make([]measure.Slice, 100)
	for i := range life {
		life[i].Rate = 100
		if i >= 90 {
			life[i].Rate = 50
		}
	}
	life[95].Rate = 25
	first, last := tenths(life)
	require.EqualValues(t, 100, first)
	require.InDelta(t, 10/(9.0/50+1.0/25), last, 1e-9)
	first, last = tenths(nil)
	require.Zero(t, first+last)
}

func TestThin(t *testing.T) {
	require.Equal(t, []int{2, 4, 6}, thin([]int{1, 2, 3, 4, 5, 6}, 3))
	require.Equal(t, []int{1, 2}, thin([]int{1, 2}, 3))
}
