package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestLogID: durable when it is set, of its partition alone, and gone with it.
func TestLogID(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	require.Zero(t, s.p.LogID())
	a, b := engine.LogID{1}, engine.LogID{15: 2}
	require.NoError(t, s.p.SetLogID(a))
	require.Equal(t, a, s.p.LogID())
	s.crash(0, 1)
	require.Equal(t, a, s.p.LogID())
	s.pass(0, 0, "a")
	s.commit(1)
	require.NoError(t, s.p.SetLogID(b))
	s.reopen()
	require.Equal(t, b, s.p.LogID(), "a seal does not touch it")
	other, err := s.e.Partition("t", 1)
	require.NoError(t, err)
	require.Zero(t, other.LogID())
	require.NoError(t, other.SetLogID(a))
	require.NoError(t, other.Close())
	require.ErrorIs(t, other.SetLogID(b), engine.ErrClosed)

	require.NoError(t, s.p.Close())
	require.NoError(t, s.e.Drop("t", 0))
	s.p, err = s.e.Partition("t", 0)
	require.NoError(t, err)
	s.crash(0, 2)
	require.Zero(t, s.p.LogID())
	other, err = s.e.Partition("t", 1)
	require.NoError(t, err)
	require.Equal(t, a, other.LogID())
	require.NoError(t, other.SetLogID(engine.LogID{}))
	s.crash(0, 3)
	other, err = s.e.Partition("t", 1)
	require.NoError(t, err)
	require.Zero(t, other.LogID())
	require.NoError(t, other.Close())
	require.NoError(t, s.e.Drop("t", 1))
}
