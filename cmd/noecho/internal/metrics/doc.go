// Package metrics shows the engine and the relay to Prometheus.
//
//	engine.Events ──► histograms (check, fsync)  ──┐
//	engine.Metrics() ─┐                            ├─► registry ─► /metrics
//	kafka.Stats() ────┴─► Collector, at a scrape ──┘
//
// Counters and gauges are not kept here: a Collector asks for a snapshot at each scrape, so that there is one truth and no
// work on the hot path. Only durations are observed as they happen.
//
// Labels are bounded: topic and partition (as many as the relay has), result and state (fixed sets). No key, group
// member or error text is ever a label.
//
// Everything is safe for concurrent use.
package metrics
