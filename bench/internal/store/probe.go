package store

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"noecho/bench/internal/cell"
	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/usage"
	"noecho/bench/internal/workload"
	"noecho/engine"
)

// ProbeResult is what a store that was closed and opened again shows.
type ProbeResult struct {
	Keys     int64   `json:"keys"`
	OpenTook float64 `json:"open_seconds"`

	// Memory with every key out of the tables: what the engine counts, and what the process takes over an empty store's
	// process, without the block cache.
	FilterBytes int64 `json:"filter_bytes"`
	TableBytes  int64 `json:"table_bytes"`
	CacheBytes  int64 `json:"cache_bytes"`
	RSS         int64 `json:"rss"`
	EmptyRSS    int64 `json:"empty_rss"`

	// Disk after compaction.
	IndexBytes int64 `json:"index_bytes"`
	TrailBytes int64 `json:"trail_bytes"` // of these
	LogBytes   int64 `json:"log_bytes"`
	SavedBytes int64 `json:"saved_filter_bytes"`

	Storm         []float64 `json:"storm"`  // records a second, a run each
	New           []float64 `json:"new"`    // ns a key in Check, a run each
	Recent        []float64 `json:"recent"` // the same for copies of recent keys
	NewAllocs     float64   `json:"new_allocs"`
	RecentAllocs  float64   `json:"recent_allocs"`
	FalsePositive float64   `json:"false_positives"` // share of the new keys of the runs for which the filter said maybe
}

// Probe asks a store that Build has made.
func Probe(ctx context.Context, spec Spec, tell func(child.Progress)) (r ProbeResult, err error) {
	tell(child.Progress{Note: "opening"})
	if r.EmptyRSS, err = emptyRSS(filepath.Dir(spec.Dir)); err != nil {
		return r, err
	}
	inspected, err := engine.Inspect(spec.Dir)
	if err != nil {
		return r, err
	}
	for i := range inspected.Partitions {
		r.TrailBytes += int64(inspected.Partitions[i].TrailBytes)
	}
	begin := time.Now()
	h, err := open(spec)
	if err != nil {
		return r, err
	}
	defer func() {
		if e := h.close(); err == nil {
			err = e
		}
	}()
	if err := h.ready(ctx); err != nil {
		return r, err
	}
	r.OpenTook = time.Since(begin).Seconds()
	if _, err := h.settle(ctx); err != nil {
		return r, err
	}
	m := h.peer.Engine.Metrics()
	r.Keys, r.FilterBytes, r.TableBytes, r.CacheBytes = m.Keys, m.FilterBytes, m.TableBytes, m.Index.CacheBytes
	r.RSS = usage.Trimmed()
	r.IndexBytes, r.LogBytes, r.SavedBytes = parts(spec.Dir)

	if r.Storm, err = h.storm(ctx, tell); err != nil {
		return r, err
	}
	before := h.part.Metrics()
	if r.New, r.NewAllocs, err = h.checks(ctx, "new keys", (*workload.Source).Past, engine.Unique, tell); err != nil {
		return r, err
	}
	after := h.part.Metrics()
	r.FalsePositive = float64(after.FalsePositives-before.FalsePositives) / float64(after.Unique-before.Unique)
	r.Recent, r.RecentAllocs, err = h.checks(ctx, "recent copies", h.recent(), engine.Duplicate, tell)
	return r, err
}

// emptyRSS is the resident memory of this process with an empty store open.
func emptyRSS(dir string) (int64, error) {
	dir, err := os.MkdirTemp(dir, "empty-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	p, err := peer.OpenNoecho(dir, peer.Options())
	if err != nil {
		return 0, err
	}
	rss := usage.Trimmed()
	return rss, p.Close()
}

// ready waits until the filter answers for all keys.
func (h *handle) ready(ctx context.Context) error {
	for h.part.Metrics().Rebuilding {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

const (
	rounds = 5
	// warmRounds come before: by then as many keys have come as the tables hold, and their memory is used again.
	warmRounds   = 8
	commitEvery  = 64
	quietBatches = 8
)

// mallocs is the number of heap allocations of the process so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// batches of a round: a million records, or fewer where the store is a small one.
func (h *handle) batches() int { return int(min(1024, max(64, h.spec.Keys/8/1024))) }

// recent makes copies of keys that came within the last round, batch by batch in random places, so that they are spread over
// all the memory that recent keys take.
func (h *handle) recent() cell.Fill {
	newest := h.source.Known()
	rng := uint64(1)
	return func(s *workload.Source, b *workload.Batch, n int) {
		rng = rng*6364136223846793005 + 1442695040888963407
		back := uint64(n) + rng>>33%uint64(h.batches()/2*1024)
		s.Again(b, newest-back, n)
	}
}

// checks times Check alone: rounds of a million records in batches of 1024. Commits run between the batches and outside of
// the clock, and each round starts when what the one before has left to seal and compact is done. What the keeper
// seals while the round goes on is sealed beside it, as in life.
func (h *handle) checks(ctx context.Context, what string, fill cell.Fill, want engine.Kind, tell func(child.Progress)) (ns []float64, allocs float64, err error) {
	b := fresh().NewBatch(1024)
	verdicts := make([]engine.Verdict, 0, 1024)
	one := func() (time.Duration, error) {
		fill(h.source, b, 1024)
		begin := time.Now()
		verdicts, err = h.part.Check(b.Records, verdicts[:0])
		took := time.Since(begin)
		for i := range verdicts {
			if err == nil && verdicts[i].Kind != want {
				err = &VerdictError{Offset: b.Records[i].Offset, Got: describe(verdicts[i]), Want: want.String()}
			}
		}
		return took, err
	}
	for i := range warmRounds * h.batches() {
		if _, err := one(); err != nil {
			return nil, 0, err
		}
		if i%commitEvery == commitEvery-1 {
			if err := h.part.Commit(ctx, h.source.Offset()); err != nil {
				return nil, 0, err
			}
		}
	}
	var quiet []float64 // allocations a key while nothing is sealed
	for round := range rounds {
		tell(child.Progress{Done: float64(round) / rounds, Note: "Check, " + what})
		if _, err := h.settle(ctx); err != nil {
			return nil, 0, err
		}
		// The first lookups after a change of the index open iterators on it, some 70 allocations, and those after keep them. Few
		// batches are counted, so that nothing else allocates meanwhile.
		var before uint64
		for i := range 2 * quietBatches {
			if i == quietBatches {
				before = mallocs()
			}
			if _, err := one(); err != nil {
				return nil, 0, err
			}
		}
		quiet = append(quiet, float64(mallocs()-before)/(quietBatches*1024))
		var sum time.Duration
		for i := range h.batches() {
			took, err := one()
			if err != nil {
				return nil, 0, err
			}
			sum += took
			if i%commitEvery == commitEvery-1 {
				if err := h.part.Commit(ctx, h.source.Offset()); err != nil {
					return nil, 0, err
				}
			}
		}
		ns = append(ns, float64(sum)/float64(h.batches()*1024))
	}
	return ns, measure.Median(quiet), nil
}
