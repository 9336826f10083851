package metrics

import (
	"bytes"
	"flag"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/index"
	"noecho/kafka"
	"noecho/wal"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

// sample has a value of its own in every field, so that two that were mixed up show in the golden file.
func sample() (engine.Metrics, kafka.Stats) {
	return engine.Metrics{
			Partitions: []engine.PartitionMetrics{
				{Topic: "orders", Partition: 0, Claimed: true, Keys: 11, Buckets: make([]engine.BucketMetrics, 3), EffectiveWindow: time.Hour,
					FalsePositives: 12, IndexLookups: 13, LookupsAhead: 16, TrailHits: 15, ClockLead: 14, Rebuilding: true},
				{Topic: "orders", Partition: 1, Keys: 21, EffectiveWindow: time.Minute, FalsePositives: 22, IndexLookups: 23, LookupsAhead: 26, TrailHits: 25, ClockLead: 24},
			},
			WAL: wal.Metrics{Bytes: 31, Appended: 32, Syncs: 33, SyncedFrames: 34},
			Index: index.Metrics{DiskBytes: 41, L0Sublevels: 42, ReadAmp: 43, Compactions: 44, CompactionDebt: 45, CacheBytes: 46,
				CacheHits: 47, CacheMisses: 48, BackgroundErrors: 49},
			TableBytes: 51, FilterBytes: 52, Unsealed: 53, Seals: 54, SealedMarks: 55, Shrunk: 56,
		}, kafka.Stats{
			Mode: kafka.ModeShadow, LeaseHeld: true,
			Partitions: []kafka.PartitionStats{
				{Partition: 0, State: kafka.StateRunning, Paused: true, Queued: 61, QueuedBytes: 62, Next: 63, Committed: 64, Lag: 65},
				{Partition: 1, State: kafka.StateRestoring, Queued: 71, QueuedBytes: 72, Next: 73, Learning: kafka.Learning{Learned: 74, LearnAt: 75, LearnTarget: 151}, Committed: -1, Lag: -1},
				{Partition: 2, State: kafka.StateRunning, Queued: 81, QueuedBytes: 82, Next: 83, Committed: -1, Lag: -1},
			},
			ProduceRetries: 91, CommitFailures: 92, Commits: 93, Pauses: 94, Learned: 95, Added: 90, Missing: kafka.Missing{None: 96, Behind: 97, Retention: 98, Bounded: 89, Removed: 99},
			Totals: kafka.Totals{Unique: 101, Redelivery: 102, Duplicate: 103, NoKey: 104, Bypassed: 105, AlreadyThere: 106, Produced: 107, ProducedBytes: 108,
				Unjudged: 109, Tagged: 110, DuplicatesProduced: 111},
			Changelog: kafka.ChangelogStats{Records: 112, Bytes: 113, Marks: 114, Failures: 115, Restored: 116, Passed: 117},
			Standby:   []kafka.StandbyPartition{{Partition: 5, Lag: 118}},
		}
}

// gather returns the registry's text form.
func gather(t *testing.T, reg *prometheus.Registry) []byte {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	var b bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&b, f)
		require.NoError(t, err)
	}
	return b.Bytes()
}

func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	m, r := sample()
	reg := prometheus.NewPedanticRegistry()
	d := NewDurations(reg)
	d.Check(100, 3*time.Microsecond)
	d.Check(100, 5*time.Second)
	d.Fsync(time.Millisecond, 4)
	reg.MustRegister(BuildInfo(&debug.BuildInfo{GoVersion: "go9", Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}}}, true))
	reg.MustRegister(&Collector{Input: "orders", Output: "clean", Duplicates: "copies", Changelog: "marks", Window: 2 * time.Hour,
		Engine: func() engine.Metrics { return m }, Relay: func() kafka.Stats { return r }})
	return reg
}

// The whole exposition: the names are a promise to dashboards and alerts.
func TestGolden(t *testing.T) {
	const path = "testdata/metrics.txt"
	got := gather(t, registry(t))
	if *rewrite {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run with -rewrite if the change is meant, and tell the users")
}

// Prometheus' own rules for names, units and help.
func TestLint(t *testing.T) {
	problems, err := promlint.New(bytes.NewReader(gather(t, registry(t)))).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestPoisonedAndFull(t *testing.T) {
	c := &Collector{Engine: func() engine.Metrics { return engine.Metrics{Full: true, Poisoned: engine.ErrClosed} },
		Relay: func() kafka.Stats { return kafka.Stats{} }}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	text := string(gather(t, reg))
	require.Contains(t, text, "\nnoecho_store_poisoned 1\n")
	require.Contains(t, text, "\nnoecho_store_full 1\n")
}

func TestBuildInfoWithoutInformation(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(BuildInfo(nil, false))
	require.Contains(t, string(gather(t, reg)), `version="unknown"`)
}
