// Package bars holds what noecho must show, as a table, and tells which of it holds.
//
// A bar is a limit on a figure: a ratio to a rival of the same run, or a time, a size, a count. Where the figure comes from is
// the caller's business; here they meet:
//
//	Table ─┐
//	       ├─► Evaluate ─► lines: bar, figure, held or not ─► exit 1 unless all hold
//	figures┘
//
// A bar without a figure is not held. The bars of the thousand-million-key run are an exception: they take a run of their own,
// and where it was not made they are listed as not measured and fail nothing.
package bars
