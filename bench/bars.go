package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/cell"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/report"
	"noecho/bench/internal/store"
)

// barsFlags of the table of bars.
type barsFlags struct {
	common
	keys    int64
	records int64
	rounds  int
	seconds float64
	stall   float64
	storm   int64
	store   string
	only    string
}

func barsCommand() *cobra.Command {
	var f barsFlags
	cmd := &cobra.Command{
		Use:   "bars",
		Short: "what noecho must show: bar, figure, held or not; exit 1 when one is not held",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return measureBars(cmd.Context(), f) },
	}
	f.add(cmd, "bench-bars")
	cmd.Flags().Int64Var(&f.keys, "keys", 100_000_000, "keys of the large store")
	cmd.Flags().Int64Var(&f.records, "records", 4_000_000, "records of a run against a rival at most")
	cmd.Flags().IntVar(&f.rounds, "rounds", 3, "rounds; noecho and the rival take turns")
	cmd.Flags().Float64Var(&f.seconds, "seconds", 60, "seconds of a run against a rival at most")
	cmd.Flags().Float64Var(&f.stall, "stall-seconds", 15, "seconds of a run under full load")
	cmd.Flags().Int64Var(&f.storm, "storm", 6_000_000, "records of the replay storm")
	cmd.Flags().StringVar(&f.store, "store", "", "keep the large store in this directory, and use the one that is there")
	cmd.Flags().StringVar(&f.only, "only", "", "only these bars, by id, separated by commas: "+fmt.Sprint(barIDs()))
	return cmd
}

// barIDs are those that this command measures.
func barIDs() (ids []string) {
	for _, b := range bars.Table {
		if !b.Scale {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// barRun is the command under way.
type barRun struct {
	*session
	f       barsFlags
	ids     []string
	figures map[string]bars.Figure
}

func measureBars(ctx context.Context, f barsFlags) error {
	ids, err := choose(f.only, barIDs())
	if err != nil {
		return err
	}
	s, err := newSession(f.common, "noecho: what it must show")
	if err != nil {
		return err
	}
	defer s.close()
	b := &barRun{session: s, f: f, ids: ids, figures: map[string]bars.Figure{}}
	s.report.Store = &report.StoreReport{}
	for _, step := range []func(context.Context) error{b.rivals, b.partitions, b.largeStore, b.underLoad} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.report.Bars = bars.Evaluate(b.figures, ids)
	if err := s.finish(); err != nil {
		return err
	}
	if !bars.AllHeld(s.report.Bars) {
		return errNotHeld
	}
	return nil
}

// want reports whether one of the bars was asked for.
func (b *barRun) want(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(b.ids, id) })
}

// rivals are the ratios to other stores.
func (b *barRun) rivals(ctx context.Context) error {
	new1024 := cell.Spec{Workload: "new", Records: b.f.records, Seconds: b.f.seconds}
	new1000 := cell.Spec{Workload: "new-b1000", Records: b.f.records, Seconds: b.f.seconds}
	new64 := cell.Spec{Workload: "new-b64", Records: b.f.records, Seconds: min(b.f.seconds, 8)}
	for _, r := range []struct {
		id, rival string
		spec      cell.Spec
	}{{"pebble", "pebble", new1024}, {"redis-pipe", "redis-pipe", new1000}, {"redis-single", "redis-tcp", new64}} {
		if !b.want(r.id) {
			continue
		}
		if k, err := peer.Find(r.rival); err != nil || k.Server && !b.redis {
			continue // said in the report; the bar is not measured, and so not held
		}
		ours, theirs, err := b.turns(ctx, r.id, [2]cell.Spec{with(r.spec, "noecho", r.spec.Workload), with(r.spec, r.rival, r.spec.Workload)})
		if err != nil {
			return err
		}
		b.figures[r.id] = ratio(ours, theirs)
	}
	return nil
}

// partitions compares 64 partitions with one.
func (b *barRun) partitions(ctx context.Context) error {
	if !b.want("partitions") {
		return nil
	}
	spec := cell.Spec{Records: 2 * b.f.records, Seconds: b.f.seconds}
	many, one, err := b.turns(ctx, "partitions", [2]cell.Spec{with(spec, "noecho", "new-p64"), with(spec, "noecho", "new")})
	if err == nil {
		b.figures["partitions"] = ratio(many, one)
	}
	return err
}

func with(s cell.Spec, peer, workload string) cell.Spec {
	s.Peer, s.Workload = peer, workload
	return s
}

// turns runs two cells in turns and gives the rates of each.
func (b *barRun) turns(ctx context.Context, id string, specs [2]cell.Spec) (first, second []float64, err error) {
	for round := range b.f.rounds {
		for i, spec := range specs {
			b.show.Step("%s: %s on %s, round %d of %d", id, spec.Peer, spec.Workload, round+1, b.f.rounds)
			r, err := b.cell(ctx, spec)
			if err != nil {
				return nil, nil, err
			}
			if i == 0 {
				first = append(first, r.Rate)
			} else {
				second = append(second, r.Rate)
			}
		}
	}
	return first, second, nil
}

// ratio is the one of the medians; its runs are the ratios round by round.
func ratio(ours, theirs []float64) bars.Figure {
	f := bars.Figure{Value: measure.Median(ours) / measure.Median(theirs)}
	for i := range ours {
		f.Runs = append(f.Runs, ours[i]/theirs[i])
	}
	f.Note = fmt.Sprintf("(%s/s against %s/s)", report.Count(measure.Median(ours)), report.Count(measure.Median(theirs)))
	return f
}

// largeStore builds the store, or takes the one that is there, and probes it.
func (b *barRun) largeStore(ctx context.Context) error {
	if !b.want("check-new", "check-new-allocs", "check-recent", "check-recent-allocs", "storm", "disk", "memory") {
		return nil
	}
	spec := store.Spec{Dir: b.f.store, Keys: b.f.keys, Storm: b.f.storm}
	if spec.Dir == "" {
		spec.Dir = filepath.Join(b.work, "large")
	}
	if _, err := os.Stat(spec.Dir); errors.Is(err, os.ErrNotExist) {
		if err := store.Room(filepath.Dir(spec.Dir), spec.Keys); err != nil {
			return err
		}
	}
	b.show.Step("large store: growing to %s keys", report.Count(float64(spec.Keys)))
	var built store.BuildResult
	if err := b.child(ctx, "build", spec, &built); err != nil {
		return err
	}
	b.report.Store.Build = &built
	b.show.Step("large store: probing")
	var p store.ProbeResult
	if err := b.child(ctx, "probe", spec, &p); err != nil {
		return err
	}
	b.report.Store.Probe = &p
	b.take(p)
	return nil
}

// take makes figures of what the probe found.
func (b *barRun) take(p store.ProbeResult) {
	set := func(id string, runs []float64, note string) {
		if b.want(id) {
			b.figures[id] = bars.Figure{Value: measure.Median(runs), Runs: runs, Note: note}
		}
	}
	set("check-new", p.New, fmt.Sprintf("(filter says maybe: %.2f %%)", p.FalsePositive*100))
	set("check-new-allocs", []float64{p.NewAllocs}, "")
	set("check-recent", p.Recent, "")
	set("check-recent-allocs", []float64{p.RecentAllocs}, "")
	storm := make([]float64, len(p.Storm))
	for i, v := range p.Storm {
		storm[i] = v / 1e6
	}
	set("storm", storm, "")
	keys := float64(p.Keys)
	set("disk", []float64{float64(p.IndexBytes-p.TrailBytes) / keys}, fmt.Sprintf("(marks; the trail, a choice, takes %.1f more, the filter saved at close %.1f; and the log, %s whatever the number of keys)",
		float64(p.TrailBytes)/keys, float64(p.SavedBytes)/keys, report.Bytes(float64(p.LogBytes))))
	resident := float64(p.RSS-p.EmptyRSS-p.CacheBytes) / keys
	counted := float64(p.FilterBytes+p.TableBytes) / keys
	set("memory", []float64{max(resident, counted)}, fmt.Sprintf("(the engine counts %.2f; resident over an empty store's, without the block cache, %.2f)", counted, resident))
}

// underLoad looks at the slowest checks while everything runs.
func (b *barRun) underLoad(ctx context.Context) error {
	if !b.want("stall") {
		return nil
	}
	var f bars.Figure
	for round := range b.f.rounds {
		b.show.Step("stall: Check while sealing, compaction and expiry run, round %d of %d", round+1, b.f.rounds)
		dir, err := os.MkdirTemp(b.work, "stall-")
		if err != nil {
			return err
		}
		var r store.StallResult
		if err := b.child(ctx, "stall", store.StallSpec{Dir: dir, Seconds: b.f.stall, BucketKeys: 1 << 22}, &r); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		b.report.Store.Stall = append(b.report.Store.Stall, r)
		f.Runs = append(f.Runs, float64(measure.At(r.Latency, 99.99))/float64(time.Millisecond))
		f.Note = fmt.Sprintf("(last run: %s/s, %d seals, %d compactions, %d buckets expired, longest %s)", report.Count(r.Rate), r.Seals,
			r.Compactions, r.Expired, report.Duration(measure.At(r.Latency, 100)))
	}
	f.Value = measure.Median(f.Runs)
	b.figures["stall"] = f
	return nil
}
