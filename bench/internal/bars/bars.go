package bars

import (
	"slices"
	"strconv"
	"strings"
)

// Bar is one line of the table.
type Bar struct {
	ID      string
	Title   string
	Unit    string
	AtLeast bool // else at most
	Limit   float64
	Scale   bool // measured by the run at scale
}

// Table is what noecho must show on a machine with two cores.
var Table = []Bar{
	{ID: "pebble", Title: "durable new keys/s, batches of 1024, against Pebble naive", Unit: "x", AtLeast: true, Limit: 40},
	{ID: "redis-pipe", Title: "against Redis pipelined by 1000, no persistence, 1 connection", Unit: "x", AtLeast: true, Limit: 12},
	{ID: "redis-single", Title: "durable batches of 64, against Redis one by one on loopback", Unit: "x", AtLeast: true, Limit: 100},
	{ID: "check-new", Title: "Check, new key, batch of 1024, large store, without the fsync", Unit: "ns", Limit: 80},
	{ID: "check-new-allocs", Title: "Check, new key: allocations", Unit: "/key", Limit: 0},
	{ID: "check-recent", Title: "Check, recent duplicate", Unit: "ns", Limit: 80},
	{ID: "check-recent-allocs", Title: "Check, recent duplicate: allocations", Unit: "/key", Limit: 0},
	{ID: "stall", Title: "p99.99 of a Check of 64 while sealing, compaction, expiry run", Unit: "ms", Limit: 1},
	{ID: "storm", Title: "replay storm of old duplicates, large store", Unit: "M/s", AtLeast: true, Limit: 1},
	{ID: "disk", Title: "disk a key with offset, after compaction", Unit: "B", Limit: 24},
	{ID: "memory", Title: "RAM a key for keys that left the tables", Unit: "B", Limit: 2.5},
	{ID: "partitions", Title: "64 partitions against 1, same total", Unit: "x", AtLeast: true, Limit: 0.8},
	{ID: "scale-flat", Title: "1e9 keys: last 10 % against the first 10 %", Unit: "x", AtLeast: true, Limit: 0.7, Scale: true},
	{ID: "scale-rss", Title: "1e9 keys: peak resident memory", Unit: "GB", Limit: 3, Scale: true},
	{ID: "scale-open", Title: "1e9 keys: from open after kill -9 until correct answers", Unit: "s", Limit: 2, Scale: true},
	{ID: "scale-ready", Title: "1e9 keys: from open after kill -9 until full speed", Unit: "s", Limit: 60, Scale: true},
}

// Figure is what was measured for a bar.
type Figure struct {
	Value float64   `json:"value"`
	Runs  []float64 `json:"runs,omitempty"` // the single runs that the value is the median of
	Note  string    `json:"note,omitempty"`
}

// Verdict on a bar.
type Verdict string

// The verdicts.
const (
	Held    Verdict = "held"
	Missed  Verdict = "NOT held"
	Absent  Verdict = "not measured"
	Skipped Verdict = "left out" // by the caller's choice, or because it belongs to the run at scale
)

// Line is a bar with its figure.
type Line struct {
	ID      string  `json:"id"`
	Title   string  `json:"title"`
	Bar     string  `json:"bar"`
	Unit    string  `json:"unit"`
	Figure  *Figure `json:"figure,omitempty"`
	Verdict Verdict `json:"verdict"`
}

// Evaluate holds the figures against the table. chosen are the ids that were to be measured; nil: all but those at scale.
func Evaluate(figures map[string]Figure, chosen []string) []Line {
	lines := make([]Line, 0, len(Table))
	for _, b := range Table {
		l := Line{ID: b.ID, Title: b.Title, Bar: b.bound(), Unit: b.Unit}
		f, ok := figures[b.ID]
		switch {
		case ok:
			l.Figure = &f
			if l.Verdict = Missed; b.holds(f.Value) {
				l.Verdict = Held
			}
		case b.Scale || chosen != nil && !slices.Contains(chosen, b.ID):
			l.Verdict = Skipped
		default:
			l.Verdict = Absent
		}
		lines = append(lines, l)
	}
	return lines
}

// AllHeld reports whether nothing that was to be measured is missed or absent.
func AllHeld(lines []Line) bool {
	return !slices.ContainsFunc(lines, func(l Line) bool { return l.Verdict == Missed || l.Verdict == Absent })
}

func (b Bar) holds(v float64) bool {
	if b.AtLeast {
		return v >= b.Limit
	}
	return v <= b.Limit // not so for NaN, as it should be
}

func (b Bar) bound() string {
	sign := "<= "
	if b.AtLeast {
		sign = ">= "
	}
	return strings.TrimSpace(sign + strconv.FormatFloat(b.Limit, 'g', -1, 64) + " " + b.Unit)
}
