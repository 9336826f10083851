package report

import (
	"fmt"
	"math"
	"strings"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/store"
)

// A plot is computed here, down to the coordinates; the template only writes it down as SVG.

// lineChart has one or two logarithmic axes or none.
type lineChart struct {
	W, H           float64
	Left, Right    float64 // edges of the field
	Top, Bottom    float64
	XTitle, YTitle string
	XTicks, YTicks []tick
	Lines          []line
}

type tick struct {
	At    float64
	Label string
}

type line struct {
	Name, Color, Points string
	Dashed              bool
	Wide                bool
}

type point struct{ x, y float64 }

// colors of the peers, by their place in the table of peers: noecho's is the strong one.
var colors = []string{"#0f766e", "#5eb5a6", "#c2410c", "#e58a4e", "#8f2d0a", "#dc2626", "#f0a3a3", "#f43f5e", "#7f1d1d",
	"#1d4ed8", "#7c3aed", "#b79bf2", "#a16207", "#6b7280", "#be185d"}

func colorOf(place int) string { return colors[place%len(colors)] }

func newChart(xTitle, yTitle string) *lineChart {
	return &lineChart{W: 1140, H: 380, Left: 76, Right: 1105, Top: 14, Bottom: 326, XTitle: xTitle, YTitle: yTitle}
}

// x and y place a share of the field.
func (c *lineChart) x(share float64) float64 { return c.Left + share*(c.Right-c.Left) }
func (c *lineChart) y(share float64) float64 { return c.Bottom - share*(c.Bottom-c.Top) }

func (c *lineChart) add(l line, points []point) {
	var b strings.Builder
	for _, p := range points {
		fmt.Fprintf(&b, "%.1f,%.1f ", c.x(p.x), c.y(p.y))
	}
	l.Points = strings.TrimSpace(b.String())
	c.Lines = append(c.Lines, l)
}

// linear is an axis from 0 to a round number at or above most.
func linear(most float64, label func(float64) string) (scale func(float64) float64, shares []tick) {
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1e-9))))
	for _, f := range []float64{0.2, 0.25, 0.5, 1, 2} {
		if most/(step*f) <= 6 {
			step *= f
			break
		}
	}
	top := step * math.Ceil(most/step*0.9999)
	for i := 0; float64(i)*step <= top*1.0001; i++ {
		shares = append(shares, tick{float64(i) * step / top, label(float64(i) * step)})
	}
	return func(v float64) float64 { return v / top }, shares
}

// decades is a logarithmic axis over whole powers of ten.
func decades(least, most float64, label func(float64) string) (scale func(float64) float64, shares []tick) {
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	if high <= low {
		high = low + 1
	}
	for d := low; d <= high; d++ {
		shares = append(shares, tick{(d - low) / (high - low), label(math.Pow(10, d))})
	}
	return func(v float64) float64 { return (math.Log10(max(v, math.Pow(10, low))) - low) / (high - low) }, shares
}

func (c *lineChart) axes(xs, ys []tick) {
	for _, t := range xs {
		c.XTicks = append(c.XTicks, tick{c.x(t.At), t.Label})
	}
	for _, t := range ys {
		c.YTicks = append(c.YTicks, tick{c.y(t.At), t.Label})
	}
}

// curve is one line of a chart before it is drawn.
type curve struct {
	line
	latency []measure.Percentile
	batches float64 // that the distribution is of
	life    []measure.Slice
}

// latencyChart draws distributions: percentiles by the number of nines, time on a logarithmic axis.
func latencyChart(curves []curve) *lineChart {
	c := newChart("share of the batches", "time of a batch")
	least, most := math.Inf(1), 0.0
	for _, k := range curves {
		for _, p := range k.latency {
			least, most = min(least, float64(p.Ns)), max(most, float64(p.Ns))
		}
	}
	if most == 0 {
		return nil
	}
	scale, ys := decades(max(least, 1), most, func(v float64) string { return strings.Replace(Duration(nanos(v)), ".0", "", 1) })
	const nines = 5.0 // from 0 % to 99.999 %
	at := func(p float64) float64 { return -math.Log10(1-p/100) / nines }
	xs := []tick{{at(50), "50 %"}, {at(90), "90 %"}, {at(99), "99 %"}, {at(99.9), "99.9 %"}, {at(99.99), "99.99 %"}, {1, "99.999 %"}}
	c.axes(xs, ys)
	for _, k := range curves {
		var ps []point
		for _, p := range k.latency {
			if p.P < 100 && k.batches*(1-p.P/100) >= 1 { // beyond, it is the maximum again and again
				ps = append(ps, point{at(p.P), scale(float64(p.Ns))})
			}
		}
		c.add(k.line, ps)
	}
	return c
}

// lifeChart draws throughput over the number of records that were done; on a logarithmic axis where the peers are far apart.
func lifeChart(curves []curve) *lineChart {
	c := newChart("records done", "records/s")
	var records, rate float64
	least := math.Inf(1)
	for _, k := range curves {
		for _, s := range smooth(k.life) {
			records, rate, least = max(records, float64(s.Records)), max(rate, s.Rate), min(least, s.Rate)
		}
	}
	if records == 0 {
		return nil
	}
	x, xs := linear(records, Count)
	y, ys := linear(rate, Count)
	if rate > 20*least {
		y, ys = decades(least, rate, Count)
	}
	c.axes(xs, ys)
	for _, k := range curves {
		var ps []point
		for _, s := range smooth(k.life) {
			ps = append(ps, point{x(float64(s.Records)), y(s.Rate)})
		}
		if len(ps) > 0 {
			ps = append([]point{{0, ps[0].y}}, ps...) // a slice is drawn at its end
		}
		c.add(k.line, ps)
	}
	return c
}

// smooth takes the mean rate over five slices around each: single slices jump with each sync and seal.
func smooth(life []measure.Slice) []measure.Slice {
	out := make([]measure.Slice, len(life))
	for i := range life {
		from, to := max(0, i-2), min(len(life), i+3)
		sum := 0.0
		for _, s := range life[from:to] {
			sum += 1 / s.Rate
		}
		out[i] = measure.Slice{Records: life[i].Records, Rate: float64(to-from) / sum}
	}
	return out
}

// hbar is a horizontal bar.
type hbar struct {
	Label, Value, Note string
	Width              float64 // 0 to 100 %
	Color              string
	Weak               bool // less durable than noecho
}

// hbars makes bars of values, the longest as wide as there is room.
func hbars(of []Summary, value func(Summary) float64, text func(Summary) string, note func(Summary) string) []hbar {
	most := 0.0
	for _, s := range of {
		most = max(most, value(s))
	}
	var bars []hbar
	for _, s := range of {
		b := hbar{Label: s.Peer.Title, Value: text(s), Color: colorOf(place(s.Peer.Name)), Weak: s.Weaker()}
		if note != nil {
			b.Note = note(s)
		}
		if most > 0 {
			b.Width = max(0, value(s)/most*100)
		}
		bars = append(bars, b)
	}
	return bars
}

// memoryChart draws the resident memory of a store that grows.
func memoryChart(g store.GrowResult) *lineChart {
	if len(g.Memory) == 0 {
		return nil
	}
	c := newChart("records done", "resident memory")
	var records, rss float64
	for _, p := range g.Memory {
		records, rss = max(records, float64(p.Records)), max(rss, float64(p.RSS))
	}
	x, xs := linear(records, Count)
	y, ys := linear(rss/(1<<30), func(v float64) string { return number(v) + " GiB" })
	c.axes(xs, ys)
	var ps []point
	for _, p := range g.Memory {
		ps = append(ps, point{x(float64(p.Records)), y(float64(p.RSS) / (1 << 30))})
	}
	c.add(line{Name: "noecho", Color: colorOf(0), Wide: true}, ps)
	return c
}
