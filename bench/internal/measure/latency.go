package measure

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const longest = int64(time.Minute)

// Latencies collects durations. One goroutine owns it.
type Latencies struct{ h *hdr.Histogram }

// NewLatencies returns an empty collection.
func NewLatencies() *Latencies { return &Latencies{hdr.New(1, longest, 3)} }

// Add adds one. What is longer than a minute counts as a minute.
func (l *Latencies) Add(d time.Duration) {
	_ = l.h.RecordValue(max(1, min(int64(d), longest))) // within the bounds there is no error
}

// Merge adds all of other.
func (l *Latencies) Merge(other *Latencies) { l.h.Merge(other.h) }

// Count is how many were added.
func (l *Latencies) Count() int64 { return l.h.TotalCount() }

// Percentile is one point of a distribution.
type Percentile struct {
	P  float64 `json:"p"`  // 0 to 100
	Ns int64   `json:"ns"` // that share took at most so long
}

// Points are the percentiles that are kept; the last is the maximum.
var Points = []float64{50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100}

// Percentiles gives the distribution at Points. Empty when nothing was added.
func (l *Latencies) Percentiles() []Percentile {
	if l.Count() == 0 {
		return nil
	}
	ps := make([]Percentile, len(Points))
	for i, p := range Points {
		ps[i] = Percentile{P: p, Ns: l.h.ValueAtQuantile(p)}
	}
	ps[len(ps)-1].Ns = l.h.Max()
	return ps
}

// At finds a percentile among those that were kept; 0 when there is none.
func At(ps []Percentile, p float64) time.Duration {
	for _, x := range ps {
		if x.P == p {
			return time.Duration(x.Ns)
		}
	}
	return 0
}
