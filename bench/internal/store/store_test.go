package store

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/bench/internal/child"
)

func silent(child.Progress) {}

// TestBuildAndProbe: a small store goes through all that a large one goes through.
func TestBuildAndProbe(t *testing.T) {
	spec := Spec{Dir: filepath.Join(t.TempDir(), "store"), Keys: 400_000, Storm: 30_000}
	built, err := Build(t.Context(), spec, silent)
	require.NoError(t, err)
	require.EqualValues(t, spec.Keys, built.Keys)
	require.False(t, built.Reused)
	require.Positive(t, built.Rate)
	require.NotEmpty(t, built.Life)

	again, err := Build(t.Context(), spec, silent)
	require.NoError(t, err)
	require.True(t, again.Reused)

	probed, err := Probe(t.Context(), spec, silent)
	require.NoError(t, err)
	require.EqualValues(t, spec.Keys, probed.Keys)
	require.Zero(t, probed.TableBytes, "every key has left the tables")
	require.Greater(t, probed.FilterBytes, spec.Keys)
	require.Greater(t, probed.IndexBytes, 16*spec.Keys)
	require.Len(t, probed.Storm, 3)
	require.Len(t, probed.New, rounds)
	require.Len(t, probed.Recent, rounds)

	spec.Keys *= 10
	_, err = Build(t.Context(), spec, silent)
	var size *SizeError
	require.ErrorAs(t, err, &size)
}

func TestStall(t *testing.T) {
	r, err := Stall(t.Context(), StallSpec{Dir: t.TempDir(), Seconds: 1, BucketKeys: 20_000}, silent)
	require.NoError(t, err)
	require.Positive(t, r.Expired)
	require.Positive(t, r.Seals)
	require.NotEmpty(t, r.Latency)
	require.Positive(t, r.Records)
}

// TestStallWantsItsLoad: a quiet store would show a fine latency that says nothing.
func TestStallWantsItsLoad(t *testing.T) {
	_, err := Stall(t.Context(), StallSpec{Dir: t.TempDir(), Seconds: 0.01, BucketKeys: 100_000}, silent)
	var idle *IdleError
	require.ErrorAs(t, err, &idle)
}

func TestRoom(t *testing.T) {
	require.NoError(t, Room(t.TempDir(), 1))
	err := Room(t.TempDir(), 1<<50)
	var space *SpaceError
	require.ErrorAs(t, err, &space)
	require.ErrorContains(t, err, "--dir")
	require.Error(t, Room(filepath.Join(t.TempDir(), "nowhere"), 1))
}
