package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestCloseWhileTheCurrentBucketIsEmptied: the keeper has emptied the current bucket and not yet cut it out of the index
// when new marks of the same bucket are committed and the engine is closed. They must not be cut out with the old ones.
func TestCloseWhileTheCurrentBucketIsEmptied(t *testing.T) {
	emptied, goOn := make(chan struct{}), make(chan struct{})
	first := true
	o := testOptions(testutil.NewFS())
	o.MaxKeys, o.TableKeys = 40, 10
	o.Events.WindowShrunk = func(engine.WindowShrunk) {
		if first {
			first = false
			close(emptied)
			<-goOn
		}
	}
	s := openStore(t, o)
	s.fill(0, 50, "old", 60)
	<-emptied
	fresh := s.fill(60, 50, "new", 20)
	s.commit(80)
	closed := make(chan error)
	go func() { closed <- s.e.Close() }()
	time.Sleep(10 * time.Millisecond) // so that Close has told the keeper to stop; either way the test must pass
	close(goOn)
	require.NoError(t, <-closed)
	s.open()
	s.drop(80, 50, fresh...)
}

// TestIndexGone: a log without the index it belongs to is refused, not taken for a new store.
func TestIndexGone(t *testing.T) {
	o := testOptions(testutil.NewFS())
	s := openStore(t, o)
	s.fill(0, 50, "k", 10)
	s.commit(10)
	fs := s.fs.Crash(100, 1)
	require.NoError(t, fs.RemoveAll("data/index"))
	o.FS = fs
	_, err := engine.Open("data", o)
	var bad *engine.StateError
	require.ErrorAs(t, err, &bad)
	require.ErrorContains(t, err, "not the one this log belongs to")
}
