package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/usage"
	"noecho/bench/internal/workload"
	"noecho/engine"
)

// MemoryPoint is the memory of the process at a moment of a store's life.
type MemoryPoint struct {
	Records int64 `json:"records"`
	RSS     int64 `json:"rss"`
}

// GrowResult is what growing to the planned size shows. It comes as the data of a progress message, because the child goes on
// until it is killed.
type GrowResult struct {
	Keys        int64           `json:"keys"`
	Seconds     float64         `json:"seconds"`
	FirstRate   float64         `json:"first_rate"` // of the first tenth
	LastRate    float64         `json:"last_rate"`  // of the last tenth
	CPUNs       float64         `json:"cpu_ns"`
	Written     float64         `json:"written_bytes"`
	PeakRSS     int64           `json:"peak_rss"`
	FilterBytes int64           `json:"filter_bytes"`
	TableBytes  int64           `json:"table_bytes"`
	IndexBytes  int64           `json:"index_bytes"`
	LogBytes    int64           `json:"log_bytes"`
	Life        []measure.Slice `json:"life"`
	Memory      []MemoryPoint   `json:"memory"`
}

// Grow makes the planned number of keys, tells the result, and then makes more, telling up to which offset they are durable,
// until it is killed.
func Grow(ctx context.Context, spec Spec, tell func(child.Progress)) (r GrowResult, err error) {
	h, err := open(spec)
	if err != nil {
		return r, err
	}
	defer h.close() // not reached where the child is killed, as it is meant to be
	before := usage.Self()
	var memory []MemoryPoint
	p, err := h.drive(ctx, (*workload.Source).Past, spec.Keys, func(done int64, elapsed time.Duration) {
		memory = append(memory, MemoryPoint{done, usage.RSS(0)})
		tell(child.Progress{Done: float64(done) / float64(spec.Keys), Note: fmt.Sprintf("growing, %.2f M/s, %.2f GB resident",
			float64(done)/elapsed.Seconds()/1e6, float64(usage.RSS(0))/1e9)})
	})
	if err != nil {
		return r, err
	}
	used := usage.Self().Sub(before)
	m := h.peer.Engine.Metrics()
	r = GrowResult{Keys: p.Records, Seconds: p.Elapsed.Seconds(), CPUNs: float64(used.CPU) / float64(p.Records),
		Written: float64(used.Written) / float64(p.Records), PeakRSS: usage.PeakRSS(0), FilterBytes: m.FilterBytes,
		TableBytes: m.TableBytes, Life: p.Slices, Memory: thin(memory, 100)}
	r.FirstRate, r.LastRate = tenths(p.Slices)
	r.IndexBytes, r.LogBytes, _ = parts(spec.Dir)
	data, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	tell(child.Progress{Done: 1, Note: "grown", Data: data})
	_, err = h.drive(ctx, (*workload.Source).Past, 1<<50, func(done int64, _ time.Duration) {
		// What was waited for. Committed would also count commits that are only under way.
		tell(child.Progress{Done: 1, Note: "waiting to be killed", Value: spec.Keys + done})
	})
	return r, err
}

// thin keeps n points, the last among them.
func thin[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	kept := make([]T, 0, n)
	for i := 1; i <= n; i++ {
		kept = append(kept, all[i*len(all)/n-1])
	}
	return kept
}

// tenths gives the rates of the first and of the last tenth of the records.
func tenths(life []measure.Slice) (first, last float64) {
	rate := func(part []measure.Slice) float64 {
		// Slices hold equally many records, so the mean rate is the harmonic one.
		sum := 0.0
		for _, s := range part {
			sum += 1 / s.Rate
		}
		return float64(len(part)) / sum
	}
	n := max(1, len(life)/10)
	if len(life) == 0 {
		return 0, 0
	}
	return rate(life[:n]), rate(life[len(life)-n:])
}

// RecoverSpec says what a kill has left.
type RecoverSpec struct {
	Spec
	Durable int64 // the offset that was committed before the kill, at least
}

// RecoverResult is what opening after a kill shows.
type RecoverResult struct {
	FirstAnswer float64              `json:"first_answer_seconds"` // from before open until a Check has answered
	FullSpeed   float64              `json:"full_speed_seconds"`   // until the filter answers for all keys
	Meanwhile   []measure.Percentile `json:"meanwhile"`            // a Check of 64 new keys before that
	PeakRSS     int64                `json:"peak_rss"`
	Lost        int64                `json:"lost"` // records that were durable and are not known: always 0, or it is an error
	Storm       []float64            `json:"storm"`
}

// Recover opens the store. The first answer is to copies of its oldest and of its newest durable keys, and must be right.
// Then a batch of 64 new keys comes every 10 ms, as from a producer that is not in a hurry, until the filter is rebuilt.
func Recover(ctx context.Context, spec RecoverSpec, tell func(child.Progress)) (r RecoverResult, err error) {
	tell(child.Progress{Note: "opening"})
	begin := time.Now()
	h, err := open(spec.Spec)
	if err != nil {
		return r, err
	}
	defer func() {
		if e := h.close(); err == nil {
			err = e
		}
	}()
	if err := h.answers([]uint64{0, uint64(spec.Durable) - 64}); err != nil {
		return r, err
	}
	r.FirstAnswer = time.Since(begin).Seconds()
	if got := h.part.Committed(); got < spec.Durable {
		return r, &LostError{Durable: spec.Durable, Found: got}
	}
	slow := measure.NewLatencies()
	b := fresh().NewBatch(64)
	var verdicts []engine.Verdict
	for h.part.Metrics().Rebuilding {
		h.source.Past(b, 64)
		start := time.Now()
		if verdicts, err = h.part.Check(b.Records, verdicts[:0]); err != nil {
			return r, err
		}
		slow.Add(time.Since(start))
		if i := slices.IndexFunc(verdicts, func(v engine.Verdict) bool { return v.Kind != engine.Unique }); i >= 0 {
			return r, &VerdictError{Offset: b.Records[i].Offset, Got: describe(verdicts[i]), Want: engine.Unique.String()}
		}
		tell(child.Progress{Note: fmt.Sprintf("rebuilding the filter for %.0f s", time.Since(begin).Seconds())})
		time.Sleep(10 * time.Millisecond)
	}
	r.FullSpeed = time.Since(begin).Seconds()
	r.Meanwhile = slow.Percentiles()
	r.Storm, err = h.storm(ctx, tell)
	r.PeakRSS = usage.PeakRSS(0)
	return r, err
}

// answers checks copies of 64 keys from each of these ids on: each must be told its owner.
func (h *handle) answers(from []uint64) error {
	b := fresh().NewBatch(64)
	for _, id := range from {
		h.source.Again(b, id, 64)
		verdicts, err := h.part.Check(b.Records, nil)
		if err != nil {
			return err
		}
		for i, v := range verdicts {
			if want := (engine.Verdict{Kind: engine.Duplicate, First: int64(id) + int64(i)}); v != want {
				return &VerdictError{Offset: b.Records[i].Offset, Got: describe(v), Want: describe(want)}
			}
		}
	}
	return nil
}
