package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The tools that come with Kafka, as an operator runs them. Only a real broker bears them.

// tool runs scripts/kafka.sh; it skips the test where there is no real broker or no Java.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	if os.Getenv("KAFKA_BROKERS") == "" {
		t.Skip("Kafka's own tools need a real broker: make test-kafka")
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("Kafka's own tools need Java")
	}
	out, err := exec.Command("../../scripts/kafka.sh", args...).CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(args, " "), out)
	return string(out)
}

// rewind moves the group back, on every partition, the way kafka-consumer-groups --reset-offsets does: a commit without metadata while no member
// is there. (A static member that was stopped counts as there until its session ends.)
func (s *site) rewind(offset int64) {
	s.t.Helper()
	poll(s.t, deadline(s.t, 90*time.Second), "the group to be empty", func() (bool, error) {
		groups, err := s.b.adm.DescribeGroups(context.Background(), s.group)
		return err == nil && groups[s.group].State == "Empty", err
	})
	if os.Getenv("KAFKA_BROKERS") != "" {
		tool(s.t, "groups", "--group", s.group, "--topic", s.input, "--reset-offsets", "--to-offset", strconv.FormatInt(offset, 10), "--execute")
		return
	}
	to := kadm.Offsets{}
	for p := range int32(partitions) {
		to.AddOffset(s.input, p, offset, -1)
	}
	require.NoError(s.t, s.b.adm.CommitAllOffsets(context.Background(), s.group, to))
}

// TestRewind: an operator has the group read a stretch again. Its originals pass again, its copies do not, and a kill in the middle
// of it changes nothing.
func TestRewind(t *testing.T) {
	s := newSite(t)
	s.feed(40_000)
	s.works()
	s.complete()
	const back = 3000
	s.rewind(back)

	before, err := s.b.ends(s.output)
	require.NoError(t, err)
	relay := start(t, s.command())
	poll(t, deadline(t, time.Minute), "the first rewound records", func() (bool, error) {
		ends, err := s.b.ends(s.output)
		return err == nil && sum(ends) > sum(before)+100, err
	})
	relay.kill()
	s.feed(1000)
	s.works()

	var want [partitions][]int // all that was there, then the originals from back on
	for p := range s.plan.parts {
		for n := range int(before[p]) {
			want[p] = append(want[p], n)
		}
		for n, offset := range s.plan.parts[p].firsts {
			if offset >= back {
				want[p] = append(want[p], n)
			}
		}
	}
	var got [partitions][]int
	require.NoError(t, s.b.read(s.output, deadline(t, time.Minute), func(r *kgo.Record) {
		_, n, err := parse(r.Value)
		require.NoError(t, err)
		got[r.Partition] = append(got[r.Partition], n)
	}))
	for p := range got {
		require.Len(t, got[p], len(want[p]), "partition %d", p)
		require.True(t, slices.Equal(want[p], got[p]), "partition %d", p) // not Equal: its diff of 10,000 numbers helps nobody
	}
}

// TestJavaProducer relays what Kafka's own producer wrote: every compression, and transactions with their markers. The lines are drawn from a
// small file, so nearly all records are copies.
func TestJavaProducer(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "lines")
	var text strings.Builder
	for n := range 3000 {
		text.WriteString("line " + strconv.Itoa(n) + strings.Repeat(" of some length", 5) + "\n")
	}
	require.NoError(t, os.WriteFile(lines, []byte(text.String()), 0o600))
	s := newSite(t)
	perf := func(args ...string) {
		tool(t, append([]string{"perf", "--topic", s.input, "--num-records", "20000", "--throughput", "-1", "--payload-file", lines}, args...)...)
	}
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		perf("--command-property", "compression.type="+compression)
	}
	perf("--transactional-id", s.group, "--transaction-duration-ms", "100")
	relay := start(t, s.command())

	var want [partitions][]string
	seen := map[string]bool{}
	require.NoError(t, s.b.read(s.input, deadline(t, time.Minute), func(r *kgo.Record) {
		if key := strconv.Itoa(int(r.Partition)) + string(r.Value); !seen[key] {
			seen[key] = true
			want[r.Partition] = append(want[r.Partition], string(r.Value))
		}
	}, kgo.FetchIsolationLevel(kgo.ReadCommitted())))
	poll(t, deadline(t, time.Minute), "the output", func() (bool, error) {
		ends, err := s.b.ends(s.output)
		return err == nil && sum(ends) >= int64(len(seen)), err
	})
	require.Zero(t, relay.term(t, time.Minute))
	require.Equal(t, want, s.outputs())
}
