package report

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/cell"
	"noecho/bench/internal/filters"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/store"
	"noecho/bench/internal/workload"
)

// Report is one run of the bench.
type Report struct {
	Title   string       `json:"title"`
	Command string       `json:"command"`
	Commit  string       `json:"commit"`
	Started time.Time    `json:"started"`
	Took    float64      `json:"took_seconds"`
	Machine Machine      `json:"machine"`
	Peers   []PeerNote   `json:"peers,omitempty"`
	Cells   []Cell       `json:"cells,omitempty"`
	Filters []FilterSet  `json:"filters,omitempty"`
	Bars    []bars.Line  `json:"bars,omitempty"`
	Store   *StoreReport `json:"store,omitempty"`
	Failed  []string     `json:"failed,omitempty"` // what could not be measured, and why
}

// PeerNote says what a peer is and what it does not guarantee.
type PeerNote struct {
	Name       string          `json:"name"`
	Title      string          `json:"title"`
	Durability peer.Durability `json:"durability"`
	Note       string          `json:"note"`
}

// Cell is a peer on a workload, all rounds.
type Cell struct {
	Peer     string        `json:"peer"`
	Workload string        `json:"workload"`
	Rounds   []cell.Result `json:"rounds"`
}

// StoreReport is what was seen on one large store.
type StoreReport struct {
	Build *store.BuildResult  `json:"build,omitempty"`
	Probe *store.ProbeResult  `json:"probe,omitempty"`
	Stall []store.StallResult `json:"stall,omitempty"`

	Grow    *store.GrowResult    `json:"grow,omitempty"`
	Recover *store.RecoverResult `json:"recover,omitempty"`
}

// FilterSet is a comparison of filters.
type FilterSet struct {
	Title   string           `json:"title"`
	Results []filters.Result `json:"results"`
}

// Add adds a round.
func (r *Report) Add(res cell.Result) {
	for i := range r.Cells {
		if r.Cells[i].Peer == res.Peer && r.Cells[i].Workload == res.Workload {
			r.Cells[i].Rounds = append(r.Cells[i].Rounds, res)
			return
		}
	}
	r.Cells = append(r.Cells, Cell{Peer: res.Peer, Workload: res.Workload, Rounds: []cell.Result{res}})
}

// Note adds a peer's description, once.
func (r *Report) Note(k peer.Kind) {
	if !slices.ContainsFunc(r.Peers, func(p PeerNote) bool { return p.Name == k.Name }) {
		r.Peers = append(r.Peers, PeerNote{k.Name, k.Title, k.Durability, k.Note})
	}
}

// JSON writes all of it.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Summary is the medians of a cell.
type Summary struct {
	Peer       PeerNote
	Workload   workload.Workload
	Rounds     int
	Rate       float64 // records a second
	Spread     float64 // of the rate over the rounds
	Ratio      float64 // noecho's rate to this one's; 0: noecho was not measured on the workload
	CPU        float64 // ns a record
	Latency    []measure.Percentile
	Allocs     float64
	Memory     float64 // bytes a key
	Disk       float64 // bytes a key
	Written    float64 // bytes a record
	Records    float64 // of a round
	Keys       float64 // in the store at the end
	Duplicates float64 // share of the records
	Life       []measure.Slice
}

// Weaker reports whether a batch that counts is less durable than noecho's.
func (s Summary) Weaker() bool { return s.Peer.Durability != peer.Synced }

// SpreadPercent is the spread in percent.
func (s Summary) SpreadPercent() float64 { return s.Spread * 100 }

// summarize takes the medians over the rounds. The curve is the one of the round in the middle.
func (r *Report) summarize(c Cell) Summary {
	s := Summary{Rounds: len(c.Rounds)}
	s.Workload, _ = workload.Find(c.Workload)
	s.Peer = PeerNote{Name: c.Peer, Title: c.Peer}
	for _, p := range r.Peers {
		if p.Name == c.Peer {
			s.Peer = p
		}
	}
	of := func(f func(cell.Result) float64) float64 { return measure.MedianOf(c.Rounds, f) }
	rates := make([]float64, len(c.Rounds))
	for i := range c.Rounds {
		rates[i] = c.Rounds[i].Rate
	}
	s.Rate, s.Spread = measure.Median(rates), measure.Spread(rates)
	s.CPU = of(func(r cell.Result) float64 { return r.CPUNs })
	s.Allocs = of(func(r cell.Result) float64 { return r.Allocs })
	s.Memory = of(func(r cell.Result) float64 { return r.MemoryBytes })
	s.Disk = of(func(r cell.Result) float64 { return r.DiskBytes })
	s.Written = of(func(r cell.Result) float64 { return r.WrittenBytes })
	s.Records = of(func(r cell.Result) float64 { return float64(r.Records) })
	s.Keys = of(func(r cell.Result) float64 { return float64(r.Keys) })
	s.Duplicates = of(func(r cell.Result) float64 { return float64(r.Duplicates) / float64(max(r.Records, 1)) })
	for i, p := range measure.Points {
		s.Latency = append(s.Latency, measure.Percentile{P: p, Ns: int64(of(func(r cell.Result) float64 {
			if i < len(r.Latency) {
				return float64(r.Latency[i].Ns)
			}
			return 0
		}))})
	}
	byRate := slices.SortedFunc(slices.Values(c.Rounds), func(a, b cell.Result) int { return int(a.Rate - b.Rate) })
	s.Life = byRate[len(byRate)/2].Life
	return s
}

// Summaries of all cells, workload by workload in the order of the table, peers in the order of theirs.
func (r *Report) Summaries() [][]Summary {
	var out [][]Summary
	for _, w := range workload.All {
		var of []Summary
		for _, k := range peer.All {
			for _, c := range r.Cells {
				if c.Workload == w.Name && c.Peer == k.Name {
					of = append(of, r.summarize(c))
				}
			}
		}
		if len(of) == 0 {
			continue
		}
		for i := range of {
			if of[0].Peer.Name == noecho {
				of[i].Ratio = of[0].Rate / of[i].Rate
			}
		}
		out = append(out, of)
	}
	return out
}

// noecho is the peer that the others are compared with.
const noecho = "noecho"
