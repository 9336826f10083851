package engine_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/internal/testutil"
)

// clock is a machine's clock that stands still until it is told.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

var year2100 = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// clockStore is a store at a fixed time with a limit of one second, which logs into a buffer and counts its events.
func clockStore(t *testing.T) (s *store, c *clock, log *bytes.Buffer, events *int) {
	c, log, events = new(clock), new(bytes.Buffer), new(int)
	c.ms.Store(1_700_000_000_000)
	o := testOptions(testutil.NewFS())
	o.Window = 6 * time.Second
	o.MaxClockLead, o.Now = time.Second, c.now
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o.Events.ClockLead = func(string, int32, int64, int64) { *events++ }
	return openStore(t, o), c, log, events
}

// TestWrongClockExpiresNothing: a record from the year 2100 counts as one without a timestamp. What is remembered stays
// remembered, after a commit, too.
func TestWrongClockExpiresNothing(t *testing.T) {
	s, c, _, _ := clockStore(t)
	now := c.ms.Load()
	s.pass(0, now, "a", "b")
	s.pass(2, year2100, "c")
	s.pass(3, now+999, "d")
	s.pass(4, now+1001, "e") // just above the limit
	s.commit(5)
	require.Equal(t, now+999, s.p.Metrics().StreamTime)
	require.Equal(t, uint64(2), s.p.Metrics().ClockLead)
	s.drop(5, now, "a", "b", "c", "d", "e")
	s.drop(10, year2100, "a")
}

// TestClockLimitMoves: the limit goes with the machine's clock.
func TestClockLimitMoves(t *testing.T) {
	s, c, _, events := clockStore(t)
	now := c.ms.Load()
	s.pass(0, now+5000, "a")
	require.Equal(t, 1, *events)
	require.Zero(t, s.p.Metrics().StreamTime)
	c.ms.Add(5000)
	s.pass(1, now+5000, "b")
	require.Equal(t, now+5000, s.p.Metrics().StreamTime)
	require.Equal(t, 1, *events)
}

// TestWrongClockIsSaidOnceAMinute: a producer with a wrong clock sends a million records, and not a million lines.
func TestWrongClockIsSaidOnceAMinute(t *testing.T) {
	s, c, log, events := clockStore(t)
	lines := func() int { return strings.Count(log.String(), "ahead of this machine's clock") }
	for i := range int64(500) {
		s.pass(i, year2100, key("k", i))
	}
	require.Equal(t, 1, lines())
	c.ms.Add(time.Minute.Milliseconds() - 1)
	s.pass(500, year2100, "x")
	require.Equal(t, 1, lines())
	c.ms.Add(1)
	s.pass(501, year2100, "y")
	require.Equal(t, 2, lines())
	require.Equal(t, 2, *events)
	require.Contains(t, log.String(), "so_far=502")
	require.Equal(t, uint64(502), s.p.Metrics().ClockLead)
}

// TestClockLimitOff: with a negative limit stream time believes everything, and the window goes.
func TestClockLimitOff(t *testing.T) {
	o := testOptions(testutil.NewFS())
	o.MaxClockLead = -1
	o.Now = func() time.Time { return time.UnixMilli(0) }
	s := openStore(t, o)
	s.pass(0, 1000, "a")
	s.pass(1, year2100, "b")
	s.commit(2)
	s.pass(2, 1000, "a")
}
