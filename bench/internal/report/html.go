package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": Count, "bytes": func(v int64) string { return Bytes(float64(v)) }, "number": number, "seconds": seconds,
	"css":     func(s string) template.CSS { return template.CSS(s) },
	"at":      func(s Summary, p float64) string { return Duration(measure.At(s.Latency, p)) },
	"held":    func(v bars.Verdict) bool { return v == bars.Held },
	"missed":  func(v bars.Verdict) bool { return v == bars.Missed || v == bars.Absent },
	"percent": func(v float64) string { return fmt.Sprintf("%.2f %%", v*100) },
	"batchNs": BatchNs, "yes": yes,
	"legend": func(c *lineChart) []line { return c.Lines },
}).Parse(pageSource))

// view is what the page shows.
type view struct {
	*Report
	When       string
	Throughput []panel
	Latency    []chartPanel
	Life       []chartPanel
	Sizes      []panel
	Tables     [][]Summary
	Legend     string
}

type panel struct {
	Title, Under string
	Bars         []hbar
}

type chartPanel struct {
	Title, Under string
	Chart        *lineChart
}

func nanos(v float64) time.Duration { return time.Duration(v) }

// place of a peer in the table of peers.
func place(name string) int {
	return slices.IndexFunc(peer.All, func(k peer.Kind) bool { return k.Name == name })
}

// HTML writes the page.
func (r *Report) HTML(w io.Writer) error {
	v := view{Report: r, When: r.Started.Format("2 January 2006, 15:04"), Tables: r.Summaries(), Legend: durabilityLegend}
	for _, of := range v.Tables {
		v.addWorkload(of)
	}
	v.addStore()
	return page.Execute(w, v)
}

func (v *view) addWorkload(of []Summary) {
	w := of[0].Workload
	under := fmt.Sprintf("keys of %d B, %d partition%s, batches of %d", w.Key.Len(), w.Partitions, plural(w.Partitions), w.Batch)
	v.Throughput = append(v.Throughput, panel{w.Title, under, hbars(of, func(s Summary) float64 { return s.Rate },
		func(s Summary) string { return Count(s.Rate) },
		func(s Summary) string {
			if s.Ratio == 0 || s.Peer.Name == noecho {
				return ""
			}
			return number(s.Ratio) + " x"
		})})
	var curves []curve
	for _, s := range of {
		curves = append(curves, curve{line: line{Name: s.Peer.Title, Color: colorOf(place(s.Peer.Name)), Dashed: s.Weaker(), Wide: s.Peer.Name == noecho},
			latency: s.Latency, batches: s.Records / float64(w.Batch), life: s.Life})
	}
	if w.Core || w.Batch != 1024 {
		if c := latencyChart(curves); c != nil {
			v.Latency = append(v.Latency, chartPanel{w.Title, under, c})
		}
	}
	if w.Name != "new" {
		return
	}
	if c := lifeChart(curves); c != nil {
		v.Life = append(v.Life, chartPanel{w.Title, under + "; each peer as far as it came in its time", c})
	}
	for _, p := range []struct {
		title, under string
		value        func(Summary) float64
	}{
		{"Memory a key", "resident after a collection, less an empty store's; servers by their own count", func(s Summary) float64 { return s.Memory }},
		{"Disk a key", "after a clean close, logs and what is allocated ahead included", func(s Summary) float64 { return s.Disk }},
		{"Bytes written a key", "log, flushes and compactions", func(s Summary) float64 { return s.Written }},
		{"Processor time a record", "all threads, background work and servers included", func(s Summary) float64 { return s.CPU }},
	} {
		unit := " B"
		if p.title == "Processor time a record" {
			unit = " ns"
		}
		v.Sizes = append(v.Sizes, panel{p.title, p.under, hbars(of, p.value, func(s Summary) string { return number(max(0, p.value(s))) + unit },
			func(s Summary) string { return "at " + Count(s.Keys) + " keys" })})
	}
}

// addStore adds the life of the large store.
func (v *view) addStore() {
	if v.Store == nil {
		return
	}
	add := func(title string, life []measure.Slice) {
		if c := lifeChart([]curve{{line: line{Name: "noecho", Color: colorOf(0), Wide: true}, life: life}}); c != nil {
			v.Life = append(v.Life, chartPanel{title, "keys of 16 B, 1 partition, batches of 1024, durable", c})
		}
	}
	if b := v.Store.Build; b != nil {
		add("A store that grows to "+Count(float64(b.Keys))+" keys", b.Life)
	}
	if g := v.Store.Grow; g != nil {
		add("A store that grows to "+Count(float64(g.Keys))+" keys", g.Life)
		if c := memoryChart(*g); c != nil {
			v.Life = append(v.Life, chartPanel{"Its memory", "resident memory of the process", c})
		}
	}
	if len(v.Store.Stall) > 0 {
		var curves []curve
		for i, s := range v.Store.Stall {
			curves = append(curves, curve{line: line{Name: fmt.Sprintf("run %d", i+1), Color: colorOf(3 * i), Wide: true}, latency: s.Latency, batches: float64(s.Records) / 64})
		}
		v.Latency = append(v.Latency, chartPanel{"Check of 64 new keys under full load", "while sealing, compaction and expiry run", latencyChart(curves)})
	}
}
