package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"text/tabwriter"
	"time"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/relays"
	"noecho/bench/internal/report"
)

// throughput is one rival at one size of records.
type throughput struct {
	Name   string          `json:"name"`
	Bytes  int             `json:"bytes"`
	Rounds []relays.Result `json:"rounds"`
	Flow   float64         `json:"flow"`  // input records a second
	Ratio  float64         `json:"ratio"` // noecho's to it
}

// run is what one run of the command has found.
type run struct {
	Command    string         `json:"command"`
	Started    time.Time      `json:"started"`
	Machine    report.Machine `json:"machine"`
	Took       time.Duration  `json:"took_ns"`
	Copies     float64        `json:"copies"`
	Partitions int            `json:"partitions"`
	Throughput []throughput   `json:"throughput"`
	Latency    []latency      `json:"latency"`
	Cost       []cost         `json:"cost"`
	LeftOut    []string       `json:"left_out,omitempty"`
}

// compare fills in the ratios.
func (r *run) compare() {
	own := map[int]float64{}
	for i := range r.Throughput {
		t := &r.Throughput[i]
		t.Flow = relays.Flow(t.Rounds)
		if t.Name == "noecho" {
			own[t.Bytes] = t.Flow
		}
	}
	for i := range r.Throughput {
		r.Throughput[i].Ratio = own[r.Throughput[i].Bytes] / r.Throughput[i].Flow
	}
}

// direct is the latency without any relay.
func (r *run) direct() []measure.Percentile {
	for _, l := range r.Latency {
		if l.Name == directName {
			return l.Percentiles
		}
	}
	return nil
}

const directName = "no relay"

func (r *run) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// text writes the tables.
func (r *run) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nthroughput (%.0f %% copies, %d partitions)\tbytes\trecords/s\tnoecho is\trelay us\tbroker us\t\n", r.Copies*100, r.Partitions)
	for _, x := range r.Throughput {
		of := func(f func(relays.Usage) time.Duration) float64 {
			return measure.MedianOf(x.Rounds, func(m relays.Result) float64 { return float64(f(m.Used).Nanoseconds()) / 1e3 / float64(m.In) })
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%.2f x\t%.2f\t%.2f\t\n", x.Name, x.Bytes, report.Count(x.Flow), x.Ratio,
			of(func(u relays.Usage) time.Duration { return u.Relay }), of(func(u relays.Usage) time.Duration { return u.Broker }))
	}
	fmt.Fprintf(t, "\nproducer to reader\trecords/s\tp50\tp99\tadded p50\tadded p99\t\n")
	direct := r.direct()
	for _, l := range r.Latency {
		p50, p99 := measure.At(l.Percentiles, 50), measure.At(l.Percentiles, 99)
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t\n", l.Name, l.Rate, report.Duration(p50), report.Duration(p99),
			added(p50, measure.At(direct, 50)), added(p99, measure.At(direct, 99)))
	}
	fmt.Fprintf(t, "\nconsumer\tinput\thandler\tns without\tns with\tadded\tthroughput\t\n")
	for _, c := range r.Cost {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.0f\t%.0f ns\t%.2f x\t\n", c.Form, c.Input, c.Handler, c.Without.CPUNs, c.With.CPUNs, c.AddedNs, c.Ratio)
	}
	for _, s := range r.LeftOut {
		fmt.Fprintf(t, "\nleft out: %s\n", s)
	}
	return t.Flush()
}

// added is a difference that may come out below nothing, by noise.
func added(with, without time.Duration) string {
	if with < without {
		return "-" + report.Duration(without-with)
	}
	return report.Duration(with - without)
}

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// bar is a horizontal bar of a plot; Width is its share of the longest, in percent.
type bar struct {
	Name, Label string
	Width       float64
	Own         bool
}

type plot struct {
	Title string
	Bars  []bar
}

// bars makes a plot of values that are compared by length.
func bars(title string, names []string, values []float64, label func(float64) string) plot {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	p := plot{Title: title}
	for i, v := range values {
		width := 0.0
		if most > 0 {
			width = 100 * max(v, 0) / most
		}
		p.Bars = append(p.Bars, bar{names[i], label(v), width, names[i] == "noecho"})
	}
	return p
}

func (r *run) plots() (plots []plot) {
	var sizes []int
	names, values := map[int][]string{}, map[int][]float64{}
	for _, t := range r.Throughput {
		if names[t.Bytes] == nil {
			sizes = append(sizes, t.Bytes)
		}
		names[t.Bytes], values[t.Bytes] = append(names[t.Bytes], t.Name), append(values[t.Bytes], t.Flow)
	}
	for _, size := range sizes {
		plots = append(plots, bars(fmt.Sprintf("Records a second, values of %d bytes", size), names[size], values[size],
			func(v float64) string { return report.Count(v) + "/s" }))
	}
	for _, p := range []float64{50, 99} {
		var names []string
		var values []float64
		for _, l := range r.Latency {
			names, values = append(names, l.Name), append(values, float64(measure.At(l.Percentiles, p)))
		}
		if len(names) > 0 {
			plots = append(plots, bars(fmt.Sprintf("Producer to reader, p%.0f", p), names, values, func(v float64) string { return report.Duration(time.Duration(v)) }))
		}
	}
	return plots
}

func (r *run) html(w io.Writer) error {
	return page.Execute(w, struct {
		*run
		When  string
		Plots []plot
	}{r, r.Started.Format("2 January 2006, 15:04"), r.plots()})
}
