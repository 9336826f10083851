// Command bench measures noecho's engine beside its rivals: the same records, the same loop, verdicts checked, each
// measurement in a process of its own, rivals in turns with noecho in one run.
//
//	go run -C bench . [run]                          all workloads, all peers, filters: tables, bench.json, bench.html
//	go run -C bench . run --list                     what there is
//	go run -C bench . run --peers noecho,pebble --workloads new,replay --records 1000000
//	go run -C bench . bars                           what noecho must show; exit 1 when something does not hold
//	go run -C bench . bars --store DIR --only storm  the large store is kept in DIR and used again
//	go run -C bench . scale 1000000000               a thousand million keys, kill -9, recovery, replay storm
//
// From the root of the project: make bench, make bench-bars, make bench-scale N=1000000000; ARGS='...' hands on flags.
//
//	run, bars, scale ── internal/child: a process for each measurement ──► internal/cell     a peer on a workload
//	      │                                                                internal/store    one large store of noecho
//	      │                                                                internal/filters  filters alone
//	      └── internal/bars: the table ── internal/report: text, JSON, HTML
//
// What each figure means stands in docs/performance.md; what each peer does and does not guarantee stands with it in
// internal/peer, and in every report.
package main
