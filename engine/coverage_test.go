package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestCoverages: what the store knows of each partition, claimed or not, in this life and the next, as the window moves on.
func TestCoverages(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	require.Empty(t, s.e.Coverages(), "a partition without a mark is not known")
	s.fill(5, 0, "a", 30)
	s.fill(35, 300, "b", 20)
	s.commit(55)
	all := []engine.Coverage{{Topic: "t", Partition: 0, Low: 5, To: 55}}
	require.Equal(t, all, s.e.Coverages())
	require.NoError(t, s.p.Close())
	require.Equal(t, all, s.e.Coverages(), "given back")
	p, err := s.e.Partition("t", 0)
	require.NoError(t, err)
	s.p = p
	s.fill(55, 750, "c", 10) // the first bucket is out of the window
	s.commit(65)
	left := []engine.Coverage{{Topic: "t", Partition: 0, Low: 35, To: 65}}
	require.Equal(t, left, s.e.Coverages())
	s.reopen()
	require.Equal(t, left, s.e.Coverages())
}
