// Package report holds what a run of the bench has shown, and writes it down: as a table for the terminal, as JSON for
// programs, and as one HTML page with plots that needs nothing else.
//
//	results of the children ─► Report ─► Summaries (medians over rounds, ratios to noecho)
//	                              │          ├─► Text   a table a workload, the bars
//	                              │          └─► HTML   plots in SVG, made by html/template
//	                              └─► JSON            everything, each round
//
// A ratio is noecho's median to the peer's in the same report, so of the same run. A peer whose batches are less durable than
// noecho's when they count is marked wherever it is named.
package report
