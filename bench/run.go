package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"noecho/bench/internal/cell"
	"noecho/bench/internal/filters"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/report"
	"noecho/bench/internal/workload"
)

// runFlags of the comparison.
type runFlags struct {
	common
	peers, workloads string
	records          int64
	seconds          float64
	rounds           int
	list, all        bool
	filters          int64
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "all peers on all workloads (the default)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.list {
				return list()
			}
			return compare(cmd.Context(), f)
		},
	}
	f.add(cmd, "bench")
	cmd.Flags().StringVar(&f.peers, "peers", "", "only these, separated by commas")
	cmd.Flags().StringVar(&f.workloads, "workloads", "", "only these, separated by commas")
	cmd.Flags().Int64Var(&f.records, "records", 4_000_000, "records of a run at most")
	cmd.Flags().Float64Var(&f.seconds, "seconds", 3, "seconds of a run at most, and of taking in its past")
	cmd.Flags().IntVar(&f.rounds, "rounds", 3, "rounds; each measures every peer in turn")
	cmd.Flags().Int64Var(&f.filters, "filter-keys", 16_000_000, "keys of the comparison of filters; 0: none")
	cmd.Flags().BoolVar(&f.list, "list", false, "show peers and workloads, and do nothing")
	cmd.Flags().BoolVar(&f.all, "all", false, "variants of peers on all workloads, not on the core ones only")
	return cmd
}

func list() error {
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, k := range peer.All {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Name, k.Title, k.Durability, k.Note)
	}
	fmt.Fprintln(t)
	for _, w := range workload.All {
		fmt.Fprintf(t, "%s\t%s\t%d B\t%d partitions, batches of %d\n", w.Name, w.Title, w.Key.Len(), w.Partitions, w.Batch)
	}
	return t.Flush()
}

func names[T any](all []T, name func(T) string) (out []string) {
	for _, x := range all {
		out = append(out, name(x))
	}
	return out
}

// compare measures every chosen peer on every chosen workload. Peers take turns within a round, so that a machine that gets
// slower gets slower for all.
func compare(ctx context.Context, f runFlags) error {
	peers, err := choose(f.peers, names(peer.All, func(k peer.Kind) string { return k.Name }))
	if err != nil {
		return err
	}
	workloads, err := choose(f.workloads, names(workload.All, func(w workload.Workload) string { return w.Name }))
	if err != nil {
		return err
	}
	s, err := newSession(f.common, "noecho beside its rivals")
	if err != nil {
		return err
	}
	defer s.close()
	for _, name := range workloads {
		w, _ := workload.Find(name)
		if w.Bars && f.workloads == "" {
			continue
		}
		for round := range f.rounds {
			for _, k := range peer.All {
				if !slices.Contains(peers, k.Name) || k.Server && !s.redis || k.Variant && !w.Core && !f.all && f.peers == "" {
					continue
				}
				s.show.Step("%s: %s, round %d of %d", w.Title, k.Title, round+1, f.rounds)
				if _, err := s.cell(ctx, cell.Spec{Peer: k.Name, Workload: name, Records: f.records, Seconds: f.seconds}); err != nil {
					return err
				}
			}
		}
	}
	if f.filters > 0 {
		if err := s.compareFilters(ctx, f.filters); err != nil {
			return err
		}
	}
	return s.finish()
}

// equalRate is the share of false positives at which filters are compared.
const equalRate = 0.01

// compareFilters measures filters at 16 bits a key, and at the bits that each needs for one false positive in a hundred.
func (s *session) compareFilters(ctx context.Context, keys int64) error {
	one := func(name string, bits float64) (r filters.Result, err error) {
		s.show.Step("filters: %s, %.0f bits a key", name, bits)
		err = s.child(ctx, "filter", filters.Spec{Name: name, Keys: keys, Bits: bits}, &r)
		return r, err
	}
	under := fmt.Sprintf("%s keys in 7 buckets", report.Count(float64(keys)))
	bits := report.FilterSet{Title: "16 bits a key, " + under}
	rate := report.FilterSet{Title: fmt.Sprintf("at most %.0f %% false positives, %s", equalRate*100, under)}
	for _, name := range filters.All {
		r, err := one(name, 16)
		if err != nil {
			return err
		}
		bits.Results = append(bits.Results, r)
		if r, err = filters.AtEqualRate(equalRate, func(bits float64) (filters.Result, error) { return one(name, bits) }); err != nil {
			return err
		}
		rate.Results = append(rate.Results, r)
	}
	s.report.Filters = []report.FilterSet{bits, rate}
	return nil
}
