package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/relays"
)

// TestMain lets the test binary play the children's parts, as the command does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// TestFlagsOfTheDocument: what docs/performance.md says of bench-kafka names no flag that is not there.
func TestFlagsOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	require.NoError(t, err)
	flags := flag.NewFlagSet("kafka", flag.ContinueOnError)
	new(settings).define(flags)
	found := 0
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "bench-kafka") {
			continue
		}
		for _, m := range regexp.MustCompile(`--([a-z][a-z-]+)`).FindAllStringSubmatch(line, -1) {
			found++
			require.NotNil(t, flags.Lookup(m[1]), "docs/performance.md mentions %s, a flag that is not there", m[0])
		}
	}
	require.Positive(t, found)
}

func newInput(t *testing.T, records int, copies float64) *relays.Bench {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	b, err := relays.New(t.Context(), relays.Input{Brokers: strings.Join(cluster.ListenAddrs(), ","), Records: records, Bytes: 100, Copies: copies, Partitions: 2})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Load(t.Context()))
	return b
}

// TestThroughput: each rival that is part of this executable leaves in the output what it should, and is timed.
func TestThroughput(t *testing.T) {
	b := newInput(t, 4000, 0.3)
	require.Less(t, b.Want, int64(3200))
	to := &setup{dir: t.TempDir(), noStreams: "not here"}
	server, err := peer.StartRedis(t.Context(), "", t.TempDir())
	if err == nil {
		t.Cleanup(func() { require.NoError(t, server.Stop()) })
		to.redis = server.Addr()
	} else {
		t.Log("without Redis:", err)
		to.noRedis = err.Error()
	}
	for _, v := range to.rivals() {
		if v.name == "noecho" || v.skip != "" {
			continue
		}
		want := int64(b.Records)
		if v.drops {
			want = b.Want
		}
		m, err := b.Measure(t.Context(), v.name, want, v.markers, func(output, group string) *exec.Cmd {
			return v.command(where{b, output, group, "0s"})
		})
		require.NoError(t, err, v.name)
		require.Equal(t, v.name, m.Name)
		require.Positive(t, m.End)
		require.Positive(t, m.CPU)
		require.GreaterOrEqual(t, m.End, m.FlowFrom)
	}
}

// TestLatency: with a relay between, and without.
func TestLatency(t *testing.T) {
	b := newInput(t, 0, 0)
	p := &paced{bench: b, rate: 500, warm: 50 * time.Millisecond, lasts: 300 * time.Millisecond}
	to := &setup{dir: t.TempDir()}
	l, err := p.run(t.Context(), "bare", func(output, group string) *exec.Cmd { return to.rivals()[0].command(where{b, output, group, "0s"}) })
	require.NoError(t, err)
	require.InDelta(t, 150, l.Records, 100, "what was sent while it counted")
	require.Positive(t, measure.At(l.Percentiles, 50))
	require.Less(t, measure.At(l.Percentiles, 50), time.Minute)
}

// TestCost: the consumer sees every record, and behind the engine only the originals.
func TestCost(t *testing.T) {
	b := newInput(t, 3000, 0.5)
	without, err := consume(t.Context(), b, "none", "json")
	require.NoError(t, err)
	require.Equal(t, 3000, without.Passed)
	with, err := consume(t.Context(), b, "engine:"+filepath.Join(t.TempDir(), "store"), "empty")
	require.NoError(t, err)
	require.EqualValues(t, b.Want, with.Passed)
	require.Positive(t, with.CPU)
	with, err = consume(t.Context(), b, "consumer:"+filepath.Join(t.TempDir(), "store"), "json")
	require.NoError(t, err)
	require.Equal(t, 3000, with.Records)
	require.EqualValues(t, b.Want, with.Passed)
	_, err = consume(t.Context(), b, "witchcraft", "empty")
	require.ErrorContains(t, err, "witchcraft")

	c := newCost("new keys", "empty", []consumed{{Records: 10, CPU: 100, Took: 10}}, []consumed{{Records: 10, CPU: 300, Took: 20}})
	require.InDelta(t, 20, c.AddedNs, 1e-9)
	require.InDelta(t, 0.5, c.Ratio, 1e-9)
}

func TestStamp(t *testing.T) {
	value := relays.Value(0, 1, 100)
	stamp(value, 1234*time.Microsecond)
	at, err := stamped(value)
	require.NoError(t, err)
	require.Equal(t, 1234*time.Microsecond, at)
	require.Len(t, value, 100)
	_, err = stamped([]byte("short"))
	require.Error(t, err)
	_, err = stamped(bytes.Repeat([]byte("x"), 30))
	require.Error(t, err)
}

// TestReport: ratios, plots and all three forms.
func TestReport(t *testing.T) {
	round := func(flow time.Duration) relays.Result { return relays.Result{In: 1000, FlowFrom: 0, End: flow} }
	r := &run{
		Throughput: []throughput{
			{Name: "noecho", Bytes: 100, Rounds: []relays.Result{round(time.Second)}},
			{Name: "streams-alo", Bytes: 100, Rounds: []relays.Result{round(10 * time.Second), round(10 * time.Second)}},
		},
		Latency: []latency{
			{Name: directName, Rate: 10, Percentiles: []measure.Percentile{{P: 50, Ns: 1e6}, {P: 99, Ns: 2e6}}},
			{Name: "noecho", Rate: 10, Percentiles: []measure.Percentile{{P: 50, Ns: 3e6}, {P: 99, Ns: 1e6}}},
		},
		Cost:    []cost{{Input: "copies", Handler: "json", AddedNs: 123, Ratio: 0.96}},
		LeftOut: []string{"redis-pipe: no redis-server"},
	}
	r.compare()
	require.InDelta(t, 1000, r.Throughput[0].Flow, 1e-9)
	require.InDelta(t, 10, r.Throughput[1].Ratio, 1e-9)

	var text, html, encoded bytes.Buffer
	require.NoError(t, r.text(&text))
	for _, want := range []string{"10.00 x", "2 ms", "-1 ms", "123 ns", "left out: redis-pipe"} {
		require.Contains(t, text.String(), want)
	}
	require.NoError(t, r.html(&html))
	for _, want := range []string{"width: 100.0%", "width: 10.0%", "width: 33.3%", "no redis-server"} {
		require.Contains(t, html.String(), want)
	}
	require.NoError(t, r.json(&encoded))
	var back run
	require.NoError(t, json.Unmarshal(encoded.Bytes(), &back))
	require.False(t, math.IsNaN(back.Throughput[1].Ratio))
}

// TestRedisFilter: copies are dropped, the order stays, and a new connection of the bench's starts with an empty server.
func TestRedisFilter(t *testing.T) {
	server, err := peer.StartRedis(t.Context(), "", t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	for _, kind := range []string{"redis:", "redis-pipe:"} {
		f, finish, err := newFilter(kind + server.Addr())
		require.NoError(t, err)
		var records []*kgo.Record
		for i, key := range []string{"a", "b", "a", "c", "b"} {
			records = append(records, &kgo.Record{Key: []byte(key), Offset: int64(i)})
		}
		passed, err := f(0, records)
		require.NoError(t, err)
		var offsets []int64
		for _, r := range passed {
			offsets = append(offsets, r.Offset)
		}
		require.Equal(t, []int64{0, 1, 3}, offsets, kind)
		require.NoError(t, finish())
	}
}
