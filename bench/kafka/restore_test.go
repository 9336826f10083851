package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"noecho/bench/internal/relays"
)

func fakeInput(t *testing.T, records, partitions int) relays.Input {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return relays.Input{Brokers: strings.Join(cluster.ListenAddrs(), ","), Records: records, Bytes: 100, Partitions: partitions}
}

// TestRestore: what was lost is there again, either way, and no copy passes.
func TestRestore(t *testing.T) {
	results, err := measureRestore(t.Context(), fakeInput(t, 4000, 2), t.TempDir())
	require.NoError(t, err)
	require.Len(t, results, 2)
	for _, r := range results {
		require.EqualValues(t, 4000, r.marks)
		require.Positive(t, r.took)
		require.Contains(t, r.String(), r.from)
	}
}

// TestTakeover: the partitions of a member that was killed go on at the other one.
func TestTakeover(t *testing.T) {
	for _, form := range []string{formStandby, formChangelog, formInput} {
		took, err := measureTakeover(t.Context(), fakeInput(t, 2000, 2), form, 600*time.Millisecond)
		require.NoError(t, err, form)
		require.Greater(t, took, -600*time.Millisecond)
	}
}
