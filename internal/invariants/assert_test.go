package invariants

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAssert(t *testing.T) {
	Assert(true, "never seen")
	broken := func() { Assert(1 > 2, "%d > %d", 1, 2) }
	if Enabled {
		require.PanicsWithValue(t, "BUG: 1 > 2", broken)
		return
	}
	require.NotPanics(t, broken)
}
