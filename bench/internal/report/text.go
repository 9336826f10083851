package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"noecho/bench/internal/bars"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
)

// durabilityMark stands behind the rate of a peer that gives less than noecho.
var durabilityMark = map[peer.Durability]string{peer.Synced: "", peer.Kernel: " k", peer.Server: " s", peer.None: " -"}

const durabilityLegend = "a batch counts when it is on stable storage; but k: handed to the kernel, s: in the server's memory, -: not kept at all"

// Text writes the tables for a terminal.
func (r *Report) Text(w io.Writer) error {
	out := &errWriter{w: w}
	fmt.Fprintf(out, "%s\n%s\ncommit %s, %s, %s, took %s\n", r.Title, r.Machine, orUnknown(r.Commit), r.Command,
		r.Started.Format("2006-01-02 15:04"), seconds(r.Took))
	for _, of := range r.Summaries() {
		r.textWorkload(out, of)
	}
	if len(r.Cells) > 0 {
		fmt.Fprintf(out, "\n%s\n", durabilityLegend)
	}
	for _, f := range r.Filters {
		f.text(out)
	}
	if r.Store != nil {
		r.Store.text(out)
		r.Store.textScale(out)
	}
	if len(r.Bars) > 0 {
		textBars(out, r.Bars)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(out, "not measured: %s\n", f)
	}
	return out.err
}

func (r *Report) textWorkload(out io.Writer, of []Summary) {
	w := of[0].Workload
	fmt.Fprintf(out, "\n%s (%s): keys of %d B, %d partition%s, batches of %d, %.0f %% copies\n", w.Title, w.Name, w.Key.Len(),
		w.Partitions, plural(w.Partitions), w.Batch, of[0].Duplicates*100)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\trecords/s\t±\tnoecho is\tCPU/rec\tp50\tp99\tp99.9\tp99.99\tmax\tallocs\tRAM/key\tdisk/key\twritten\tkeys\t")
	for _, s := range of {
		ratio := ""
		if s.Ratio > 0 && s.Peer.Name != noecho {
			ratio = fmt.Sprintf("%.1f x", s.Ratio)
		}
		p := func(at float64) string { return Duration(measure.At(s.Latency, at)) }
		fmt.Fprintf(t, "%s%s\t%s\t%.0f %%\t%s\t%.0f ns\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f B\t%.0f B\t%.0f B\t%s\t\n", s.Peer.Title,
			durabilityMark[s.Peer.Durability], Count(s.Rate), s.Spread*100, ratio, s.CPU, p(50), p(99), p(99.9), p(99.99), p(100),
			strconv.FormatFloat(round(s.Allocs, 2), 'f', -1, 64), s.Memory, s.Disk, s.Written, Count(s.Keys))
	}
	_ = t.Flush()
}

func (f FilterSet) text(out io.Writer) {
	fmt.Fprintf(out, "\nfilters, %s\n", f.Title)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tbits/key\tbytes/key\tfalse positives\tadd\ttest\ttest, batches of 64\tdrops a bucket\t")
	for _, r := range f.Results {
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f %%\t%.0f ns\t%.0f ns\t%s\t%s\t\n", r.Name, r.Bits, r.Bytes, r.FalsePositives*100, r.AddNs, r.TestNs,
			BatchNs(r.BatchNs), yes(r.Expires))
	}
	_ = t.Flush()
}

// BatchNs writes a time that not all have.
func BatchNs(ns float64) string {
	if ns == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f ns", ns)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (s *StoreReport) text(out io.Writer) {
	if b := s.Build; b != nil && !b.Reused {
		fmt.Fprintf(out, "\nstore of %s keys: grown in %s (%s/s), %.0f ns of CPU and %.0f B written a key, compactions at rest %s later, peak RSS %s\n",
			Count(float64(b.Keys)), seconds(b.Seconds), Count(b.Rate), b.CPUNs, b.Written, seconds(b.Settling), Bytes(float64(b.PeakRSS)))
	}
	if p := s.Probe; p != nil {
		fmt.Fprintf(out, "store of %s keys: opened in %s; index %s, log %s, saved filter %s; filter in memory %s\n", Count(float64(p.Keys)),
			seconds(p.OpenTook), Bytes(float64(p.IndexBytes)), Bytes(float64(p.LogBytes)), Bytes(float64(p.SavedBytes)), Bytes(float64(p.FilterBytes)))
	}
}

// textScale tells the story of a run at scale.
func (s *StoreReport) textScale(out io.Writer) {
	if g := s.Grow; g != nil {
		fmt.Fprintf(out, "\n%s keys in %s: %s/s; first tenth %s/s, last tenth %s/s; %.0f ns of CPU and %.0f B written a key\n", Count(float64(g.Keys)),
			seconds(g.Seconds), Count(float64(g.Keys)/g.Seconds), Count(g.FirstRate), Count(g.LastRate), g.CPUNs, g.Written)
		fmt.Fprintf(out, "peak RSS %s; filters %s, tables %s; index %s (%.1f B a key), log %s\n", Bytes(float64(g.PeakRSS)), Bytes(float64(g.FilterBytes)),
			Bytes(float64(g.TableBytes)), Bytes(float64(g.IndexBytes)), float64(g.IndexBytes)/float64(g.Keys), Bytes(float64(g.LogBytes)))
	}
	if r := s.Recover; r != nil {
		fmt.Fprintf(out, "after kill -9: first answer after %s, full speed after %s; meanwhile a Check of 64 took %s (p50), %s (p99); peak RSS %s\n",
			seconds(r.FirstAnswer), seconds(r.FullSpeed), Duration(measure.At(r.Meanwhile, 50)), Duration(measure.At(r.Meanwhile, 99)), Bytes(float64(r.PeakRSS)))
		for _, v := range r.Storm {
			fmt.Fprintf(out, "replay storm: %s/s\n", Count(v))
		}
	}
}

func textBars(out io.Writer, lines []bars.Line) {
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "bar\t\tfigure\t\truns\t")
	for _, l := range lines {
		figure, runs := "", ""
		if l.Figure != nil {
			figure = number(l.Figure.Value) + " " + l.Unit
			for _, v := range l.Figure.Runs {
				runs += number(v) + " "
			}
			if l.Figure.Note != "" {
				runs = strings.TrimSpace(runs + " " + l.Figure.Note)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", l.Title, l.Bar, figure, l.Verdict, runs)
	}
	_ = t.Flush()
	if bars.AllHeld(lines) {
		fmt.Fprintln(out, "\nall bars that were measured are held")
	} else {
		fmt.Fprintln(out, "\nNOT all bars are held")
	}
}

// number writes a figure with three digits.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// Count writes a number of things: 3.41 M, 17.5 k.
func Count(v float64) string {
	switch {
	case v >= 999.5e6:
		return number(v/1e9) + " G"
	case v >= 999.5e3:
		return number(v/1e6) + " M"
	case v >= 999.5:
		return number(v/1e3) + " k"
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// Bytes writes a size.
func Bytes(v float64) string {
	switch {
	case v >= 1<<30:
		return number(v/(1<<30)) + " GiB"
	case v >= 1<<20:
		return number(v/(1<<20)) + " MiB"
	}
	return number(v/(1<<10)) + " KiB"
}

// Duration writes a short time.
func Duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return number(d.Seconds()) + " s"
	case d >= time.Millisecond:
		return number(float64(d)/1e6) + " ms"
	case d >= time.Microsecond:
		return number(float64(d)/1e3) + " µs"
	}
	return strconv.Itoa(int(d)) + " ns"
}

func seconds(s float64) string {
	if s >= 90 {
		return fmt.Sprintf("%d min %d s", int(s)/60, int(s)%60)
	}
	return Duration(time.Duration(s * float64(time.Second)))
}

func round(v float64, digits int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
	return r
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// errWriter remembers the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}
