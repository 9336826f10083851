package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestInspect: the report of a closed store says what its handles said.
func TestInspect(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.fill(5, 0, "a", 30)
	s.fill(35, 250, "b", 20)
	s.commit(50)
	id := s.e.ID()
	s.close()
	r, err := engine.InspectFS(s.fs, "data")
	require.NoError(t, err)
	require.Equal(t, engine.Report{
		Dir: "data", ID: id, Format: 1, Hash: engine.HashXXH3, Window: 600 * time.Millisecond, Buckets: 6,
		Partitions: r.Partitions, IndexBytes: r.IndexBytes, WALBytes: r.WALBytes,
	}, r, "nothing in the log is news to the index")
	require.Positive(t, r.IndexBytes)
	require.Len(t, r.Partitions, 1)
	p := r.Partitions[0]
	require.Positive(t, p.IndexBytes)
	require.Equal(t, engine.PartitionMetrics{
		Topic: "t", Start: 5, To: 55, Committed: 50, StreamTime: 250, Keys: 50, EffectiveWindow: 600 * time.Millisecond,
		Buckets: []engine.BucketMetrics{{Number: 0, StartMs: 0, First: 5, Keys: 30}, {Number: 2, StartMs: 200, First: 35, Keys: 20}},
	}, p.PartitionMetrics)
}

// TestInspectAfterACrash: what is in the log alone counts as well, forgotten and dropped keys do not, and nothing changes on disk.
func TestInspectAfterACrash(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.fill(0, 0, "a", 30)
	s.fill(30, 300, "b", 20)
	require.NoError(t, s.p.Forget([]byte("a3")))
	s.fill(50, 900, "c", 10) // the first bucket is dead with the commit
	s.commit(60)
	fs := s.fs.Crash(0, 1)
	fs.OnOp(func(_ int, what string) error {
		t.Errorf("Inspect changes the store: %s", what)
		return nil
	})
	for range 2 {
		r, err := engine.InspectFS(fs, "data")
		require.NoError(t, err)
		require.Positive(t, r.WALBytes)
		require.Positive(t, r.WALFrames)
		require.Equal(t, int64(60), r.Partitions[0].To)
		require.Equal(t, uint64(30), r.Partitions[0].Keys)
		require.Len(t, r.Partitions[0].Buckets, 2)
	}
}

// TestInspectFloors: dropped and emptied buckets, from the log.
func TestInspectFloors(t *testing.T) {
	s, events := boundStore(t, 50)
	s.fill(0, 0, "a", 40)
	s.fill(40, 100, "b", 60)
	s.eventually("nothing shrank", func() bool { return len(events.list()) == 2 })
	s.fill(100, 100, "c", 7)
	s.commit(107)
	r, err := engine.InspectFS(s.fs.Crash(0, 1), "data")
	require.NoError(t, err)
	require.Equal(t, uint64(7), r.Partitions[0].Keys)
	require.Len(t, r.Partitions[0].Buckets, 1)
	require.Zero(t, r.Partitions[0].EffectiveWindow)
}

// TestInspectNothing: a directory without a store is not made into one.
func TestInspectNothing(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Join(dir, "missing")} {
		_, err := engine.Inspect(d)
		require.ErrorIs(t, err, engine.ErrNoStore)
		require.ErrorContains(t, err, d)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, files)
}

// TestInspectOnDisk: the exported form, on the real file system.
func TestInspectOnDisk(t *testing.T) {
	dir := t.TempDir()
	e, err := engine.Open(dir, diskOptions())
	require.NoError(t, err)
	p, err := e.Partition("orders", 3)
	require.NoError(t, err)
	_, err = p.Check(batch(0, 0, "a", "b"), nil)
	require.NoError(t, err)
	require.NoError(t, p.Commit(context.Background(), 2))
	require.NoError(t, e.Close())
	r, err := engine.Inspect(dir)
	require.NoError(t, err)
	require.Equal(t, "orders", r.Partitions[0].Topic)
	require.Equal(t, int32(3), r.Partitions[0].Partition)
	require.Equal(t, uint64(2), r.Partitions[0].Keys)
}

// TestStoreID: the id without opening, whatever else is wrong with the store.
func TestStoreID(t *testing.T) {
	dir := t.TempDir()
	_, err := engine.StoreID(dir)
	require.ErrorIs(t, err, engine.ErrNoStore)
	e, err := engine.Open(dir, engine.Options{Window: time.Hour})
	require.NoError(t, err)
	id, err := engine.StoreID(dir)
	require.NoError(t, err, "while it is in use")
	require.Equal(t, e.ID(), id)
	require.NoError(t, e.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "NOECHO"), []byte("{"), 0o600))
	_, err = engine.StoreID(dir)
	var bad *engine.HeaderError
	require.ErrorAs(t, err, &bad)
}
