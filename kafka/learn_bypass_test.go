package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/internal/testutil"
)

// TestNotLearnedInBypass: a partition that comes in bypass does not learn, and on the way back that is counted. Copies of what the store lacks pass.
func TestNotLearnedInBypass(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS() // the disk is lost
	l := w.start(nil, func(cfg *RelayConfig) { oneName(cfg); cfg.Mode = ModeBypass })
	w.feed(rec(0, "c", "1"))
	l.settle()
	require.Zero(t, l.relay.Stats().Missing)
	set(t, l, ModeActive)
	w.feed(rec(0, "d", "1"), rec(0, "a", "copy"), rec(0, "a", "copy"))
	l.settle()
	require.Equal(t, Missing{None: 1}, l.relay.Stats().Missing)
	l.stop()
	w.requireOutput(func(int32) []*kgo.Record { return w.fed[0][4:5] })
}

// TestRestartAfterBypassLearns: a restart instead of the switch learns what the store lacks, and what passed in bypass.
func TestRestartAfterBypassLearns(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.feed(rec(0, "c", "1"))
	w.run(func(cfg *RelayConfig) { oneName(cfg); cfg.Mode = ModeBypass })
	w.feed(rec(0, "a", "copy"), rec(0, "c", "copy"), rec(0, "d", "1"))
	w.run(oneName)
	w.requireClean()
}
