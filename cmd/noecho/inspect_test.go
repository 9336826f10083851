package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *rewrite {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run with -rewrite if the change is meant")
}

func report() *engine.Report {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	return &engine.Report{
		Dir: "/var/lib/noecho", ID: "5ca1ab1e", Format: 1, Hash: "xxh3", Window: 24 * time.Hour, Buckets: 6,
		IndexBytes: 3 << 20, WALBytes: 1536, WALFrames: 7,
		Partitions: []engine.PartitionReport{
			{IndexBytes: 3_000_000, PartitionMetrics: engine.PartitionMetrics{Topic: "orders", Partition: 0, Start: 10, To: 5000, Committed: 4990,
				StreamTime: at + 5000, Keys: 3000, EffectiveWindow: 24 * time.Hour, Buckets: []engine.BucketMetrics{
					{Number: 1, StartMs: at - 4*3600_000, First: 10, Keys: 1000}, {Number: 2, StartMs: at, First: 2100, Keys: 2000}}}},
			{PartitionMetrics: engine.PartitionMetrics{Topic: "orders", Partition: 11, Committed: -1, EffectiveWindow: 90 * time.Minute}},
		},
	}
}

func TestInspectGolden(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, writeTable(&b, report(), false))
	golden(t, "testdata/inspect.txt", b.Bytes())
	b.Reset()
	require.NoError(t, writeTable(&b, report(), true))
	golden(t, "testdata/inspect-buckets.txt", b.Bytes())
	b.Reset()
	require.NoError(t, writeJSON(&b, report()))
	golden(t, "testdata/inspect.json", b.Bytes())
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 40: "5.0 TiB", 1 << 60: "1048576.0 TiB"} {
		require.Equal(t, want, bytesText(n))
	}
}

// A store that the engine made, not a report that a test made.
func TestInspectStore(t *testing.T) {
	dir := t.TempDir()
	e, err := engine.Open(dir, engine.Options{Window: time.Hour})
	require.NoError(t, err)
	p, err := e.Partition("orders", 3)
	require.NoError(t, err)
	now := time.Now().UnixMilli()
	_, err = p.Check([]engine.Record{{Key: []byte("a"), Offset: 5, Timestamp: now}, {Key: []byte("b"), Offset: 6, Timestamp: now}, {Key: []byte("a"), Offset: 7, Timestamp: now}}, nil)
	require.NoError(t, err)
	require.NoError(t, p.Commit(context.Background(), 8))

	code, _, stderr := call("inspect", dir)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "in use")
	require.Contains(t, stderr, "a running noecho shows its state in /metrics")
	require.NoError(t, e.Close())

	code, stdout, stderr := call("inspect", "--json", dir)
	require.Zero(t, code, stderr)
	var s storeJSON
	require.NoError(t, json.Unmarshal([]byte(stdout), &s))
	require.EqualValues(t, 2, s.Keys)
	require.Len(t, s.Partitions, 1)
	require.Equal(t, "orders", s.Partitions[0].Topic)
	require.EqualValues(t, 5, s.Partitions[0].CoverageStart)
	require.EqualValues(t, 8, s.Partitions[0].CoverageTo)
	require.EqualValues(t, 8, *s.Partitions[0].Committed)
	require.Len(t, s.Partitions[0].Buckets, 1)

	code, stdout, _ = call("inspect", dir)
	require.Zero(t, code)
	require.Regexp(t, `orders +3 +\[5, 8\) +8 +2 +1 +1h `, stdout)
}
