package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/cell"
	"noecho/bench/internal/filters"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report with something of everything.
func sample(t *testing.T) *Report {
	r := &Report{Title: "a sample", Command: "bench run", Commit: "0123456789", Started: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Took: 123,
		Machine: Machine{CPU: "a processor", Cores: 2, Memory: 24, Kernel: "6.1", FS: "ext4", Go: "go1.26"}, Failed: []string{"etcd: it is no peer"}}
	for i, name := range []string{"noecho", "redis-pipe", "map"} {
		k, err := peer.Find(name)
		require.NoError(t, err)
		r.Note(k)
		r.Note(k)
		for round := range 3 {
			rate := float64(4_000_000/(1+10*i) + 100_000*round)
			r.Add(cell.Result{Peer: name, Workload: "new", Records: 1_000_000, Keys: 1_000_000, Seconds: 1e6 / rate, Rate: rate, CPUNs: 400, Allocs: 0.014,
				MemoryBytes: 60, DiskBytes: 20, WrittenBytes: 40,
				Latency: percentiles(time.Duration(i+1) * time.Millisecond), Life: []measure.Slice{{Records: 500_000, Rate: rate}, {Records: 1_000_000, Rate: rate / 2}}})
		}
	}
	r.Filters = []FilterSet{{Title: "16 bits a key", Results: []filters.Result{{Name: filters.Sliced, Bits: 16, Bytes: 2, FalsePositives: 0.01, AddNs: 30, TestNs: 40, BatchNs: 20, Expires: true},
		{Name: filters.Classic, Bits: 16, Bytes: 2, FalsePositives: 0.0005, AddNs: 200, TestNs: 100}}}}
	r.Bars = bars.Evaluate(map[string]bars.Figure{"pebble": {Value: 41.5, Runs: []float64{40, 43}, Note: "(4 M/s against 100 k/s)"}, "storm": {Value: 0.5}}, []string{"pebble", "storm", "disk"})
	r.Store = &StoreReport{
		Build:   &store.BuildResult{Keys: 100_000_000, Seconds: 30, Rate: 3.3e6, CPUNs: 500, Written: 60, Settling: 2, PeakRSS: 1 << 30, Life: []measure.Slice{{Records: 1e8, Rate: 3.3e6}}},
		Probe:   &store.ProbeResult{Keys: 100_000_000, OpenTook: 0.5, IndexBytes: 2 << 30, LogBytes: 256 << 20, SavedBytes: 200 << 20, FilterBytes: 200 << 20},
		Stall:   []store.StallResult{{Latency: percentiles(time.Microsecond), Records: 1e8}},
		Grow:    &store.GrowResult{Keys: 1e9, Seconds: 400, FirstRate: 3e6, LastRate: 2.5e6, PeakRSS: 2 << 30, Life: []measure.Slice{{Records: 1e9, Rate: 2.5e6}}, Memory: []store.MemoryPoint{{Records: 5e8, RSS: 1 << 30}, {Records: 1e9, RSS: 2 << 30}}},
		Recover: &store.RecoverResult{FirstAnswer: 0.8, FullSpeed: 40, Meanwhile: percentiles(time.Millisecond), PeakRSS: 2 << 30, Storm: []float64{1.5e6}},
	}
	return r
}

func percentiles(base time.Duration) (ps []measure.Percentile) {
	for i, p := range measure.Points {
		ps = append(ps, measure.Percentile{P: p, Ns: int64(base) * int64(i+1)})
	}
	return ps
}

func TestTextGolden(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, sample(t).Text(&out))
	golden := filepath.Join("testdata", "report.txt")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}

func TestTextFailsWithItsWriter(t *testing.T) {
	full := errors.New("disk full")
	require.ErrorIs(t, sample(t).Text(failing{full}), full)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestHTML: the page is well formed, loads nothing, has a plot of each kind, and no coordinate that is no number.
func TestHTML(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, sample(t).HTML(&out))
	s := out.String()
	require.NotContains(t, s, "NaN")
	require.NotContains(t, s, "Inf")
	require.NotContains(t, s, "ZgotmplZ", "the template found something it does not trust")
	require.NotRegexp(t, `(src|href)=`, s)
	require.NotContains(t, s, "url(")
	for _, want := range []string{"Throughput by workload", "Latency of a batch", "Over the life of a growing store", "Memory a key", "Filters",
		"What noecho must show", "After kill -9", "41.5", "NOT held", "left out", "not measured", "in the server&#39;s memory"} {
		require.Contains(t, s, want)
	}
	require.Equal(t, 6, strings.Count(s, "<svg"), "latency and life of the workload, of the stores, and memory")
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(s, -1) {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	want := sample(t)
	require.NoError(t, want.JSON(&out))
	var got Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Equal(t, *want, got)
}

// TestSummaries: medians, spread, and ratios to noecho's median.
func TestSummaries(t *testing.T) {
	all := sample(t).Summaries()
	require.Len(t, all, 1)
	require.Len(t, all[0], 3)
	ours, redis := all[0][0], all[0][1]
	require.EqualValues(t, 4_100_000, ours.Rate)
	require.InDelta(t, 200_000.0/4_100_000, ours.Spread, 1e-9)
	require.InDelta(t, 4_100_000/(4_000_000.0/11+100_000), redis.Ratio, 1e-4)
	require.False(t, ours.Weaker())
	require.True(t, redis.Weaker())
	require.Equal(t, 2*time.Millisecond, measure.At(redis.Latency, 50))
	// Without noecho there is nothing to compare with.
	r := sample(t)
	r.Cells = r.Cells[1:]
	require.Zero(t, r.Summaries()[0][0].Ratio)
}

func TestAxes(t *testing.T) {
	scale, ticks := linear(3.7e6, Count)
	require.EqualValues(t, 1, ticks[len(ticks)-1].At)
	require.LessOrEqual(t, scale(3.7e6), 1.0)
	require.Equal(t, "0", ticks[0].Label)
	log, ticks := decades(17_000, 4e6, Count)
	require.Len(t, ticks, 4) // 10 k to 10 M
	require.InDelta(t, 1.0/3, log(100_000), 1e-9)
	require.Zero(t, log(0))
	_, ticks = decades(1, 1, Count)
	require.Len(t, ticks, 2)
	require.False(t, math.IsNaN(scale(0)))
}

func TestWords(t *testing.T) {
	require.Equal(t, "17.5 k", Count(17_500))
	require.Equal(t, "1 G", Count(1e9))
	require.Equal(t, "999", Count(999.4))
	require.Equal(t, "2.50 GiB", Bytes(2.5*(1<<30)))
	require.Equal(t, "812 ns", Duration(812))
	require.Equal(t, "1.50 ms", Duration(1500*time.Microsecond))
	require.Equal(t, "2 min 3 s", seconds(123))
	require.Equal(t, "-", BatchNs(0))
}

func TestThisMachine(t *testing.T) {
	m := ThisMachine(t.TempDir())
	require.Positive(t, m.Cores)
	require.NotEmpty(t, m.Go)
	require.NotEmpty(t, m.String())
	require.Empty(t, Commit(t.TempDir()))
}
