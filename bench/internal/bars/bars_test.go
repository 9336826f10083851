package bars

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func verdict(t *testing.T, lines []Line, id string) Verdict {
	for _, l := range lines {
		if l.ID == id {
			return l.Verdict
		}
	}
	t.Fatalf("no line %s", id)
	return ""
}

func TestEvaluate(t *testing.T) {
	figures := map[string]Figure{
		"pebble":           {Value: 40},
		"redis-pipe":       {Value: 11.99},
		"check-new":        {Value: 80},
		"check-new-allocs": {Value: 0.0001},
		"stall":            {Value: math.NaN()},
		"disk":             {Value: 24.01},
		"scale-rss":        {Value: 2.9},
	}
	lines := Evaluate(figures, nil)
	require.Len(t, lines, len(Table))
	for id, want := range map[string]Verdict{
		"pebble": Held, "redis-pipe": Missed, "check-new": Held, "check-new-allocs": Missed, "stall": Missed, "disk": Missed,
		"storm": Absent, "scale-rss": Held, "scale-open": Skipped,
	} {
		require.Equal(t, want, verdict(t, lines, id), id)
	}
	require.False(t, AllHeld(lines))
}

// TestOnlyChosen: a bar that was not asked for fails nothing, one that was asked for and has no figure does.
func TestOnlyChosen(t *testing.T) {
	require.True(t, AllHeld(Evaluate(map[string]Figure{"storm": {Value: 1.2}}, []string{"storm"})))
	require.False(t, AllHeld(Evaluate(nil, []string{"storm"})))
	require.False(t, AllHeld(Evaluate(map[string]Figure{"storm": {Value: 0.9}}, []string{"storm"})))
	require.False(t, AllHeld(Evaluate(nil, nil)))
}

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range Table {
		require.False(t, seen[b.ID])
		seen[b.ID] = true
		require.True(t, b.holds(b.Limit), "the limit itself holds")
		require.NotEqual(t, b.AtLeast, b.holds(b.Limit-1))
	}
	require.Equal(t, ">= 0.8 x", Bar{AtLeast: true, Limit: 0.8, Unit: "x"}.bound())
	require.Equal(t, "<= 24 B", Bar{Limit: 24, Unit: "B"}.bound())
}
