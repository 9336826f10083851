// Command bench measures noecho's engine beside its rivals: the same records, the same loop, verdicts checked, each
// measurement in a process of its own, rivals in turns with noecho in one run.
//
//	go run -C bench . [run]                          all workloads, all peers: tables, bench.json, bench.html
//	go run -C bench . run --list                     what there is
//	go run -C bench . bars                           what noecho must show; exit 1 when something does not hold
//	go run -C bench . bars --store DIR --only storm  the large store is kept in DIR and used again
//
// From the root of the project: make bench, make bench-bars.
//
// The figures are explained in docs/performance.md, what each peer does and does not guarantee stands with it in
// internal/peer, and in every report.
package main
