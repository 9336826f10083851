package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/child"
	"noecho/bench/internal/report"
	"noecho/bench/internal/store"
	"noecho/bench/internal/workload"
)

const scaleKeys = 1_000_000_000

func scaleCommand() *cobra.Command {
	var c common
	var storm int64
	var told bool
	cmd := &cobra.Command{
		Use:   "scale [KEYS]",
		Short: "so many keys (default 1000000000) in one store: growth, kill -9, recovery, replay storm",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := int64(scaleKeys)
			if len(args) == 1 {
				v, err := strconv.ParseFloat(args[0], 64)
				if err != nil || v < 100_000 || v > 1e12 || v != math.Trunc(v) {
					return fmt.Errorf("KEYS must be a whole number from 100000 to 1e12, not %q", args[0])
				}
				keys = int64(v)
			}
			spec := store.Spec{Keys: keys, Storm: storm}
			if told {
				spec.Expected = int64(float64(keys) / workload.Windows)
			}
			return scale(cmd.Context(), c, spec)
		},
	}
	c.add(cmd, "bench-scale")
	cmd.Flags().Int64Var(&storm, "storm", 15_000_000, "records of the replay storm")
	cmd.Flags().BoolVar(&told, "told", true, "the store is told how many keys a window will get (Options.ExpectedKeys)")
	return cmd
}

// killAfter is how long a store that has its keys goes on before it is killed.
const killAfter = 3 * time.Second

func scale(ctx context.Context, c common, spec store.Spec) error {
	keys := spec.Keys
	s, err := newSession(c, fmt.Sprintf("noecho: %s keys in one store", report.Count(float64(keys))))
	if err != nil {
		return err
	}
	defer s.close()
	s.report.Failed = nil // Redis is not asked for here
	spec.Dir = filepath.Join(s.work, "large")
	if err := store.Room(s.work, keys); err != nil {
		return err
	}
	grown, durable, err := grow(ctx, s, spec)
	if err != nil {
		return err
	}
	s.report.Store = &report.StoreReport{Grow: grown}
	s.show.Step("opening after kill -9")
	var r store.RecoverResult
	if err := s.child(ctx, "recover", store.RecoverSpec{Spec: spec, Durable: durable}, &r); err != nil {
		return err
	}
	s.report.Store.Recover = &r
	figures := map[string]bars.Figure{
		"scale-flat":  {Value: grown.LastRate / grown.FirstRate},
		"scale-rss":   {Value: float64(max(grown.PeakRSS, r.PeakRSS)) / 1e9, Note: fmt.Sprintf("(growing %s, after the kill %s)", report.Bytes(float64(grown.PeakRSS)), report.Bytes(float64(r.PeakRSS)))},
		"scale-open":  {Value: r.FirstAnswer},
		"scale-ready": {Value: r.FullSpeed},
	}
	if keys == scaleKeys { // the bars speak of a thousand million
		s.report.Bars = bars.Evaluate(figures, []string{})
	}
	if err := s.finish(); err != nil {
		return err
	}
	if !bars.AllHeld(s.report.Bars) {
		return errNotHeld
	}
	return nil
}

// grow runs the child that makes the keys, and kills it while it is at work. It returns what the child had found, and the last
// offset it had told to be durable.
func grow(ctx context.Context, s *session, spec store.Spec) (*store.GrowResult, int64, error) {
	s.show.Step("growing to %s keys", report.Count(float64(spec.Keys)))
	var r *store.GrowResult
	var durable int64
	var at time.Time
	var bad error
	err := child.Run(ctx, "grow", spec, nil, func(p *child.Process, m child.Progress) {
		s.show.Set(m.Done, m.Note)
		if m.Data != nil {
			r, at = new(store.GrowResult), time.Now()
			bad = json.Unmarshal(m.Data, r)
		}
		durable = max(durable, m.Value)
		if r != nil && time.Since(at) > killAfter && durable > spec.Keys {
			_ = p.Kill()
		}
	})
	switch {
	case bad != nil:
		return nil, 0, bad
	case errors.Is(err, child.ErrKilled) && r != nil:
		return r, durable, nil
	case err == nil:
		err = errors.New("the store ended by itself")
	}
	return nil, 0, err
}
