package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"noecho/cmd/noecho/internal/config"
)

// frame is what the view shows at one moment.
type frame struct {
	elapsed, total time.Duration
	in, out        int64
	dropped        int64
	inRate         float64 // records a second, of the last moments
	outRate        float64
	inTrace        []float64 // rates from the start on, one for each step of total/traceSteps
	outTrace       []float64
	check          latency
	window         time.Duration // effective
	windowSet      time.Duration // configured
	relay          string        // what to say of the process
	relayDown      bool
}

// traceSteps is the width of the traces, and of the progress bar.
const traceSteps = 40

// Rows is the height of the block that a terminal shows, with the empty line above it.
const Rows = 9

// waiting is what the relay has not got to yet. in = out + dropped + waiting.
func (f *frame) waiting() int64 { return max(0, f.in-f.out-f.dropped) }

func (f *frame) droppedShare() string {
	if f.out+f.dropped == 0 {
		return ""
	}
	return fmt.Sprintf("(%.1f %% of what was read)", 100*float64(f.dropped)/float64(f.out+f.dropped))
}

// lines draws the block that is updated in place.
func (f *frame) lines(p palette) []string {
	// One scale for both traces: the point is that the lower one stays flat when the upper one jumps.
	top := 1.0
	for _, r := range append(append([]float64{}, f.inTrace...), f.outTrace...) {
		top = max(top, r)
	}
	relay := f.relay
	if f.relayDown {
		relay = p.bad(relay)
	}
	row := func(name, value, more string) string {
		return "  " + p.dim(pad(name, 9)) + p.bold(fmt.Sprintf("%9s", value)) + more
	}
	return []string{
		row("in", count(f.in), fmt.Sprintf("  %8s/s  ", count(int64(f.inRate)))+p.echo(trace(f.inTrace, top))),
		row("out", count(f.out), fmt.Sprintf("  %8s/s  ", count(int64(f.outRate)))+p.good(trace(f.outTrace, top))),
		row("dropped", count(f.dropped), "  "+p.dim(f.droppedShare())),
		row("waiting", count(f.waiting()), ""),
		"  " + p.dim(pad("check", 9)) + f.check.String(),
		"  " + p.dim(pad("window", 9)) + f.windowText(),
		"  " + p.dim(pad("relay", 9)) + relay,
		"  " + progress(f.elapsed, f.total) + fmt.Sprintf(" %.0f s of %.0f s", min(f.elapsed, f.total).Seconds(), f.total.Seconds()),
	}
}

// line is the same in one line, for output that is not a terminal.
func (f *frame) line() string {
	return fmt.Sprintf("in %s (%s/s)  out %s (%s/s)  dropped %s  waiting %s  check %s  window %s", count(f.in), count(int64(f.inRate)),
		count(f.out), count(int64(f.outRate)), count(f.dropped), count(f.waiting()), f.check, f.windowText())
}

func (f *frame) windowText() string {
	if f.windowSet == 0 {
		return "-"
	}
	return fmt.Sprintf("%s of %s", brief(f.window), brief(f.windowSet))
}

// latency is a pair of quantiles of a duration.
type latency struct{ p50, p99 time.Duration }

func (l latency) String() string {
	if l.p99 == 0 {
		return "-"
	}
	return "p50 " + short(l.p50) + "  p99 " + short(l.p99) + " a batch"
}

// short prints a duration with two digits or three: 870ns, 12µs, 1.3ms.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	case d >= time.Microsecond:
		return d.Round(100 * time.Nanosecond).String()
	}
	return d.String()
}

// brief prints a duration in whole seconds, without what is zero at its end: 1h, not 1h0m0s.
func brief(d time.Duration) string { return config.ShortDuration(d.Round(time.Second)) }

// count prints a number with commas: 1,234,567.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func pad(s string, width int) string { return fmt.Sprintf("%-*s", width, s) }

// trace draws rates as a row of blocks, top being a full one. A rate above 0 is never drawn as nothing.
func trace(rates []float64, top float64) string {
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, r := range rates {
		i := int(r/top*float64(len(blocks)-1) + 0.5)
		if r > 0 && i == 0 {
			i = 1
		}
		b.WriteRune(blocks[max(0, min(i, len(blocks)-1))])
	}
	return b.String()
}

// progress draws a bar.
func progress(done, total time.Duration) string {
	n := traceSteps
	if total > 0 {
		n = max(0, min(traceSteps, int(int64(traceSteps)*int64(done)/int64(total))))
	}
	return strings.Repeat("━", n) + strings.Repeat("─", traceSteps-n)
}

// palette colours text, or does not.
type palette bool

func (p palette) wrap(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) dim(s string) string  { return p.wrap("2", s) }
func (p palette) bold(s string) string { return p.wrap("1", s) }
func (p palette) bad(s string) string  { return p.wrap("1;31", s) }
func (p palette) good(s string) string { return p.wrap("32", s) }
func (p palette) echo(s string) string { return p.wrap("33", s) }
