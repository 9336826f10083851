package metrics

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Durations holds the histograms.
type Durations struct {
	check, fsync prometheus.Histogram
}

// NewDurations makes the histograms and registers them.
func NewDurations(reg prometheus.Registerer) *Durations {
	d := &Durations{
		// A batch of known-new keys takes some microseconds, one full of copies that lie on disk tens of milliseconds.
		// Steps of two up to a second: a quantile between two of them is right within a third.
		check: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "noecho_check_duration_seconds", Help: "Time to decide one batch of records.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 2, 21),
		}),
		// From an NVMe drive with a battery to a disk in trouble.
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "noecho_fsync_duration_seconds", Help: "Time to make one group of commits durable.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 17),
		}),
	}
	reg.MustRegister(d.check, d.fsync)
	return d
}

// Check observes the time one batch took.
func (d *Durations) Check(_ int, took time.Duration) { d.check.Observe(took.Seconds()) }

// Fsync observes the time one group sync took.
func (d *Durations) Fsync(took time.Duration, _ int) { d.fsync.Observe(took.Seconds()) }

// BuildInfo is the gauge noecho_build_info, always 1, with what the binary was built from.
func BuildInfo(info *debug.BuildInfo, ok bool) prometheus.Collector {
	labels := prometheus.Labels{"version": "unknown", "revision": "unknown", "goversion": runtime.Version()}
	if ok {
		labels["version"], labels["goversion"] = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				labels["revision"] = s.Value
			}
		}
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "noecho_build_info", Help: "What the binary was built from.", ConstLabels: labels,
	}, func() float64 { return 1 })
}
