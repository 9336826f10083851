package demo

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The metrics of `noecho run` that the view shows.
const (
	metricCheck     = "noecho_check_duration_seconds"
	metricNext      = "noecho_next_offset"
	metricEffective = "noecho_window_effective_seconds"
	metricWindow    = "noecho_window_seconds"
)

const sampleEvery = 150 * time.Millisecond

// sampler asks the relay for its metrics, in a goroutine of its own, so that a relay that does not answer does not stop
// the view. It survives the relay: while there is none, the last sample stands.
type sampler struct {
	broker *broker
	http   *http.Client

	mu      sync.Mutex // protects the rest
	relay   *child     // who is asked; nil: nobody
	ready   bool       // this relay has said that it is
	dropped int64      // never falls
	check   latency
	window  time.Duration
	set     time.Duration
}

func newSampler(b *broker) *sampler {
	return &sampler{broker: b, http: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// watch makes the sampler ask c from now on.
func (s *sampler) watch(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay, s.ready = c, false
}

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		relay, ready := s.relay, s.ready
		s.mu.Unlock()
		if relay != nil && relay.address() != "" {
			if !ready {
				ready = s.get(ctx, relay, "/readyz", io.Discard) == nil
			}
			s.sample(ctx, relay, ready)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sample takes one sample. Errors are the relay's death, which others notice.
func (s *sampler) sample(ctx context.Context, relay *child, ready bool) {
	text, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.get(ctx, relay, "/metrics", w)) }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	_, _ = io.Copy(io.Discard, text)
	if err != nil {
		return
	}
	// The output's end is read after the relay's position, so it can only be further on: the difference is never more
	// than what was really dropped.
	next, parts := sum(families[metricNext])
	dropped := int64(next) - s.broker.end(outputTopic)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay != relay {
		return
	}
	s.ready = ready
	if parts == partitions {
		s.dropped = max(s.dropped, dropped)
	}
	if l := quantiles(families[metricCheck]); l != (latency{}) {
		s.check = l
	}
	if effective := least(families[metricEffective]); effective > 0 {
		s.window = effective
	}
	if set := least(families[metricWindow]); set > 0 {
		s.set = set
	}
}

func (s *sampler) get(ctx context.Context, relay *child, path string, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+relay.address()+path, http.NoBody)
	if err != nil {
		return err
	}
	r, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, r.Status)
	}
	_, err = io.Copy(w, r.Body)
	return err
}

// isReady reports whether the relay that is being asked has said that it is ready.
func (s *sampler) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// relayGone reports whether the relay that is being asked has ended.
func (s *sampler) relayGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relay != nil && s.relay.ended()
}

// fill puts the last sample into f.
func (s *sampler) fill(f *frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.dropped, f.check, f.window, f.windowSet = s.dropped, s.check, s.window, s.set
}

// sum adds up a family's gauges, and counts them.
func sum(f *dto.MetricFamily) (total float64, n int) {
	for _, m := range f.GetMetric() {
		total += m.GetGauge().GetValue()
		n++
	}
	return total, n
}

// least returns the smallest of a family's gauges, seconds, as a duration; 0 if there is none.
func least(f *dto.MetricFamily) time.Duration {
	v := math.Inf(1)
	for _, m := range f.GetMetric() {
		v = min(v, m.GetGauge().GetValue())
	}
	if math.IsInf(v, 1) {
		return 0
	}
	return time.Duration(v * float64(time.Second))
}

// quantiles of a histogram of seconds.
func quantiles(f *dto.MetricFamily) latency {
	for _, m := range f.GetMetric() {
		return latency{quantile(m.GetHistogram(), 0.50), quantile(m.GetHistogram(), 0.99)}
	}
	return latency{}
}

// quantile interpolates inside the bucket where the q-th observation lies, as PromQL's histogram_quantile does.
func quantile(h *dto.Histogram, q float64) time.Duration {
	if h.GetSampleCount() == 0 {
		return 0
	}
	rank := q * float64(h.GetSampleCount())
	var below, lower float64
	for _, b := range h.GetBucket() {
		upper, n := b.GetUpperBound(), float64(b.GetCumulativeCount())
		if math.IsInf(upper, 1) {
			break
		}
		if n >= rank && n > below {
			return time.Duration((lower + (upper-lower)*(rank-below)/(n-below)) * float64(time.Second))
		}
		below, lower = n, upper
	}
	return time.Duration(lower * float64(time.Second))
}
