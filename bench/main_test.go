package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/report"
	"noecho/bench/internal/store"
	"noecho/bench/internal/workload"
)

// TestMain is also the child: the commands start the test binary with the hidden command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child.Command {
		cmd := root()
		cmd.SetArgs(os.Args[1:])
		if cmd.ExecuteContext(context.Background()) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func execute(t *testing.T, args ...string) error {
	cmd := root()
	cmd.SetArgs(args)
	return cmd.ExecuteContext(t.Context())
}

func read(t *testing.T, path string) (r report.Report) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	page, err := os.ReadFile(path[:len(path)-len("json")] + "html")
	require.NoError(t, err)
	require.Contains(t, string(page), "</html>")
	return r
}

// TestRun: two peers that need no server, two workloads, through children and into the files.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	require.NoError(t, execute(t, "run", "--dir", dir, "--out", out, "--peers", "noecho,map", "--workloads", "new,replay", "--records", "20000",
		"--rounds", "2", "--filter-keys", "50000"))
	r := read(t, out+".json")
	require.Len(t, r.Cells, 4)
	for _, c := range r.Cells {
		require.Len(t, c.Rounds, 2)
	}
	require.Len(t, r.Filters, 2)
	left, err := filepath.Glob(filepath.Join(dir, "noecho-bench-*"))
	require.NoError(t, err)
	require.Empty(t, left, "stores are removed")
}

// TestBars: a bar on a small store, which is kept and used again.
func TestBars(t *testing.T) {
	dir := t.TempDir()
	args := []string{"bars", "--dir", dir, "--out", filepath.Join(dir, "out"), "--store", filepath.Join(dir, "kept"), "--keys", "300000",
		"--storm", "3000", "--only", "disk"}
	err := execute(t, args...) // held or not: the store is far too small for the figure to mean anything
	if err != nil {
		require.ErrorIs(t, err, errNotHeld)
	}
	r := read(t, filepath.Join(dir, "out.json"))
	require.False(t, r.Store.Build.Reused)
	i := slices.IndexFunc(r.Bars, func(l bars.Line) bool { return l.ID == "disk" })
	require.Contains(t, []bars.Verdict{bars.Held, bars.Missed}, r.Bars[i].Verdict)
	require.Equal(t, bars.Skipped, r.Bars[0].Verdict)
	if err := execute(t, args...); err != nil {
		require.ErrorIs(t, err, errNotHeld)
	}
	require.True(t, read(t, filepath.Join(dir, "out.json")).Store.Build.Reused)
}

// TestScale: growth, a real kill -9, recovery, storm.
func TestScale(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, execute(t, "scale", "200000", "--dir", dir, "--out", filepath.Join(dir, "out"), "--storm", "3000"))
	r := read(t, filepath.Join(dir, "out.json"))
	require.EqualValues(t, 200_000, r.Store.Grow.Keys)
	require.Positive(t, r.Store.Recover.FirstAnswer)
	require.GreaterOrEqual(t, r.Store.Recover.FullSpeed, r.Store.Recover.FirstAnswer)
	require.Len(t, r.Store.Recover.Storm, 3)
	require.Empty(t, r.Bars, "the bars speak of a thousand million keys")
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	require.ErrorContains(t, execute(t, "run", "--peers", "etcd"), `"etcd" is not known`)
	require.ErrorContains(t, execute(t, "run", "--workloads", "old"), `"old" is not known`)
	require.ErrorContains(t, execute(t, "bars", "--only", "scale-rss"), `"scale-rss" is not known`)
	require.ErrorContains(t, execute(t, "scale", "many"), "KEYS must be")
	var space *store.SpaceError
	require.ErrorAs(t, execute(t, "scale", "1e12", "--dir", dir), &space)
	require.Error(t, execute(t, "run", "--dir", filepath.Join(dir, "nowhere")))
	require.ErrorContains(t, execute(t, child.Command, "dance"), "dance")
}

// TestFlagsOfTheDocument: docs/performance.md names no flag that is not there. Lines about bench-kafka are that command's (see its TestFlagsOfTheDocument).
func TestFlagsOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/performance.md")
	require.NoError(t, err)
	flags := map[string]bool{}
	for _, cmd := range root().Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags["--"+f.Name] = true })
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "bench-kafka") {
			continue
		}
		for _, f := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(line, -1) {
			found++
			require.True(t, flags[f], "docs/performance.md mentions %s, a flag that is not there", f)
		}
	}
	require.Positive(t, found)
}

func TestRatio(t *testing.T) {
	f := ratio([]float64{400, 300, 500}, []float64{10, 20, 5})
	require.EqualValues(t, 40, f.Value)
	require.Equal(t, []float64{40, 15, 100}, f.Runs)
}

// TestTake: the larger of two ways to count memory is what counts.
func TestTake(t *testing.T) {
	b := &barRun{ids: barIDs(), figures: map[string]bars.Figure{}}
	b.take(store.ProbeResult{Keys: 100, FilterBytes: 200, RSS: 1000, EmptyRSS: 500, CacheBytes: 200, IndexBytes: 2200, TrailBytes: 200, SavedBytes: 200,
		LogBytes: 1 << 20, New: []float64{70, 60, 90}, Storm: []float64{2e6}})
	require.EqualValues(t, 3, b.figures["memory"].Value)
	require.EqualValues(t, 20, b.figures["disk"].Value)
	require.EqualValues(t, 70, b.figures["check-new"].Value)
	require.EqualValues(t, 2, b.figures["storm"].Value)
	require.Equal(t, measure.Median([]float64{70, 60, 90}), b.figures["check-new"].Value)
}

// TestBarsUseWhatIsThere: the names in bars.go are rows of the tables.
func TestBarsUseWhatIsThere(t *testing.T) {
	for _, name := range []string{"new", "new-b1000", "new-b64", "new-p64"} {
		_, ok := workload.Find(name)
		require.True(t, ok, name)
	}
	require.Contains(t, barIDs(), "storm")
	require.NotContains(t, barIDs(), "scale-rss")
}
