package workload

import (
	"slices"
	"time"
)

// Window is the window of every store in the bench, in stream time.
const Window = 24 * time.Hour

// Windows is how many windows the stream time of a run spans.
const Windows = 1.1

// Near is how far back, in records of its partition, the original of a near copy lies at most.
const Near = 10_000

// Mix says what the records are.
type Mix uint8

// The mixes.
const (
	Fresh  Mix = iota // new keys, and a share of copies
	Replay            // the whole past again, in the order it came
	Zipf              // keys drawn from a Zipf distribution (exponent 1): what was drawn before is a copy
)

// Workload is one row of the table.
type Workload struct {
	Name  string // as in flags and JSON
	Title string // as in reports
	Mix   Mix
	// Percent of the records that are copies of earlier ones (Fresh). Far copies have their original anywhere in the past of
	// the partition, near ones among the last Near records.
	Percent float64
	Far     bool
	// Past is how many records are taken in before the clock runs, as a share of the records of the run.
	Past float64
	// Cold: the past must have left the tables in memory when the clock starts. noecho gets a memory budget that is far too
	// small for the past; peers without such tables are what they always are.
	Cold       bool
	Key        Form
	Partitions int
	Batch      int
	// Bars: needed by the table of bars only, which names such a batch.
	Bars bool
	// Core workloads are run with every variant of a peer, the others with the main ones.
	Core bool
}

// All is the table.
var All = []Workload{
	{Name: "new", Title: "all new", Core: true},
	{Name: "dup1-near", Title: "1 % copies, near", Percent: 1, Past: 0.05},
	{Name: "dup1-far", Title: "1 % copies, far", Percent: 1, Far: true, Past: 0.5},
	{Name: "dup20-near", Title: "20 % copies, near", Percent: 20, Past: 0.05, Core: true},
	{Name: "dup20-far", Title: "20 % copies, far", Percent: 20, Far: true, Past: 0.5, Core: true},
	{Name: "dup50-near", Title: "50 % copies, near", Percent: 50, Past: 0.05},
	{Name: "dup50-far", Title: "50 % copies, far", Percent: 50, Far: true, Past: 0.5},
	{Name: "replay", Title: "replay of the past", Mix: Replay, Past: 1, Cold: true, Core: true},
	{Name: "zipf", Title: "Zipf", Mix: Zipf},
	{Name: "new-36", Title: "all new, UUIDs (36 B)", Key: UUID36},
	{Name: "new-200", Title: "all new, URLs (200 B)", Key: URL200},
	{Name: "new-p8", Title: "all new, 8 partitions", Partitions: 8},
	{Name: "new-p64", Title: "all new, 64 partitions", Partitions: 64},
	{Name: "new-b1000", Title: "all new, batches of 1000", Batch: 1000, Bars: true},
	{Name: "new-b64", Title: "all new, batches of 64", Batch: 64},
	{Name: "new-b1", Title: "all new, batches of 1", Batch: 1},
}

func init() {
	for i := range All {
		All[i] = All[i].withDefaults()
	}
}

func (w Workload) withDefaults() Workload {
	if w.Partitions == 0 {
		w.Partitions = 1
	}
	if w.Batch == 0 {
		w.Batch = 1024
	}
	return w
}

// Find returns the row of that name.
func Find(name string) (Workload, bool) {
	i := slices.IndexFunc(All, func(w Workload) bool { return w.Name == name })
	if i < 0 {
		return Workload{}, false
	}
	return All[i], true
}
