package kafka

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
)

// full returns an assignment that stands at an offset, and whose changes have no room.
func full(t *testing.T, next int64) *assignment {
	m := &member{log: slog.New(slog.DiscardHandler)}
	a := &assignment{m: m, quit: make(chan struct{})}
	a.changes = newChanges(func() {})
	a.task = &handling{assignment: a, held: -1}
	a.handled = next
	a.changes.begin(10, 5)
	marks := make([]engine.Mark, maxChanges)
	for i := range marks {
		marks[i] = engine.Mark{Offset: 10 + int64(i), First: 10 + int64(i), Time: 7}
	}
	a.changes.add(marks)
	require.True(t, a.changes.crowded())
	return a
}

// TestNoRoom: it is waited for while something can be written.
func TestNoRoom(t *testing.T) {
	a := full(t, 1000)
	done := make(chan bool)
	go func() { done <- a.room() }()
	select {
	case <-done:
		require.Fail(t, "there was no room")
	case <-time.After(20 * time.Millisecond):
	}
	p, breaks, ok := a.changes.below(1000)
	require.True(t, ok)
	require.Len(t, p.marks, 990)
	a.changes.trim(&p, breaks)
	require.True(t, <-done)

	a = full(t, 1000)
	close(a.quit)
	require.False(t, a.room(), "killed")
}

// TestNoRoomWhileOffsetsStandStill: what moves them may be ahead, so it is not waited for, and what was held is left out.
func TestNoRoomWhileOffsetsStandStill(t *testing.T) {
	a := full(t, 10)
	require.True(t, a.room())
	require.False(t, a.changes.crowded())
	_, _, ok := a.changes.below(10 + maxChanges)
	require.False(t, ok, "a gap")
	a.changes.add([]engine.Mark{{Offset: 20 + maxChanges, First: 20 + maxChanges, Time: 8}})
	p, _, ok := a.changes.below(30 + maxChanges)
	require.True(t, ok)
	require.EqualValues(t, 10+maxChanges, p.from)
	require.EqualValues(t, 7, p.before)
	require.Len(t, p.marks, 1)
}
