package store

import (
	"context"
	"fmt"
	"time"

	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/usage"
	"noecho/bench/internal/workload"
	"noecho/engine"
)

// BuildResult is what growing a store shows.
type BuildResult struct {
	Keys      int64           `json:"keys"`
	Reused    bool            `json:"reused"` // the store was there already: nothing below was measured
	Seconds   float64         `json:"seconds"`
	Rate      float64         `json:"rate"`
	CPUNs     float64         `json:"cpu_ns"`        // a key, compactions included
	Written   float64         `json:"written_bytes"` // a key
	Settling  float64         `json:"settling_seconds"`
	PeakRSS   int64           `json:"peak_rss"`
	CloseTook float64         `json:"close_seconds"`
	Life      []measure.Slice `json:"life"`
}

// Build grows the store to its planned size, waits for compactions and closes it.
func Build(ctx context.Context, spec Spec, tell func(child.Progress)) (r BuildResult, err error) {
	h, err := open(spec)
	if err != nil {
		return r, err
	}
	if _, to := h.part.Coverage(); to > 0 {
		r.Keys, r.Reused = spec.Keys, true
		if to < spec.Keys {
			err = &SizeError{Dir: spec.Dir, Have: to, Want: spec.Keys}
		}
		if e := h.close(); err == nil {
			err = e
		}
		return r, err
	}
	before := usage.Self()
	p, err := h.drive(ctx, (*workload.Source).Past, spec.Keys, func(done int64, elapsed time.Duration) {
		tell(child.Progress{Done: float64(done) / float64(spec.Keys), Note: fmt.Sprintf("growing, %.2f M/s", float64(done)/elapsed.Seconds()/1e6)})
	})
	if err != nil {
		return r, err
	}
	tell(child.Progress{Done: 1, Note: "waiting for compactions"})
	settling, err := h.settle(ctx)
	if err != nil {
		return r, err
	}
	used := usage.Self().Sub(before)
	r = BuildResult{Keys: p.Records, Seconds: p.Elapsed.Seconds(), Rate: float64(p.Records) / p.Elapsed.Seconds(),
		CPUNs: float64(used.CPU) / float64(p.Records), Written: float64(used.Written) / float64(p.Records),
		Settling: settling.Seconds(), PeakRSS: usage.PeakRSS(0), Life: p.Slices}
	begin := time.Now()
	err = h.close()
	r.CloseTook = time.Since(begin).Seconds()
	return r, err
}

func describe(v engine.Verdict) string {
	if v.Kind == engine.Duplicate {
		return fmt.Sprintf("a duplicate of %d", v.First)
	}
	return v.Kind.String()
}
