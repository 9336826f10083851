package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is wrong outside is said in one sentence, before anything is touched; when it is mended, all records are there.

func TestUnknownBroker(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	astray := *s
	astray.brokers = "127.0.0.1:1"
	astray.refused(exitFailed, "no broker answered.*127.0.0.1:1.*check")
	s.works()
	s.complete()
}

func TestMissingTopic(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	s.refused(exitFailed, "nowhere.*create", "--input", "nowhere")
	s.refused(exitFailed, "nowhere.*create", "--output", "nowhere")
	s.works()
	s.complete()
}

func TestFewerOutputPartitions(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	narrow := s.b.topic(t, "narrow", partitions-1)
	s.refused(exitFailed, "has 3 partitions.*has 4.*at least 4", "--output", narrow)
	s.works()
	s.complete()
}

func TestOutputTakesSmallerRecords(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	small := s.b.topic(t, "small", partitions, "max.message.bytes", "100000")
	s.refused(exitFailed, "at most 100000 bytes.*max.message.bytes", "--output", small)
	s.works()
	s.complete()
}

func TestWrongConfig(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	file := filepath.Join(t.TempDir(), "noecho.yaml")
	require.NoError(t, os.WriteFile(file, []byte("key: payload\nwindwo: 1h\n"), 0o600))
	s.refused(exitUsage, `noecho.yaml:2.*"windwo".*window`, "--config", file)
	s.refused(exitUsage, "windwo", "--windwo", "1h")
	s.refused(exitUsage, "window is 0s.*like 24h", "--window", "0s")
	s.refused(exitUsage, "output is the input topic", "--output", s.input)
	s.works()
	s.complete()
}

// TestAnotherStore: a store is what it was made as.
func TestAnotherStore(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	s.works()
	s.feed(1000)
	s.refused(exitFailed, "made with window 24h.*but 48h.*was given", "--window", "48h")
	s.refused(exitFailed, "made with hash xxh3, but siphash was given", "--hash", "siphash")
	s.refused(exitFailed, "made with buckets 6, but 4 was given", "--buckets", "4")

	header := filepath.Join(s.dir, "NOECHO")
	change(t, header, func(b []byte) []byte { return []byte(strings.Replace(string(b), `"format": 1`, `"format": 2`, 1)) })
	s.refused(exitFailed, "made with format 2, but 1 was given.*version of noecho")
	change(t, header, func(b []byte) []byte { return []byte(strings.Replace(string(b), `"format": 2`, `"format": 1`, 1)) })
	s.works()
	s.complete()
}

// TestSecondProcess: the usual accident, the same command twice. The second must not even disturb the first's group membership.
func TestSecondProcess(t *testing.T) {
	s := newSite(t)
	s.feed(2000)
	first := start(t, s.command())
	s.drains(first)
	s.refused(exitFailed, "in use by another process")
	s.feed(2000)
	s.drains(first)
	require.Zero(t, first.term(t, time.Minute))
	s.complete()
}
