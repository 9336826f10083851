package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// relayWindow is the window the demo's relay is given: longer than any demo.
const relayWindow = time.Hour

// relayArgs is the command line of the relay.
func (s *show) relayArgs() []string {
	return []string{"run", "--brokers", s.broker.Addr(), "--input", inputTopic, "--output", outputTopic, "--group", groupName,
		"--key", "json:order_id", "--window", relayWindow.String(), "--data-dir", filepath.Join(s.dir, "store"),
		"--metrics-addr", "127.0.0.1:0", "--log-format", "json"}
}

func (s *show) startRelay() (err error) {
	if s.relay, err = startChild(s.exe, s.relayArgs()); err != nil {
		return err
	}
	s.sampler.watch(s.relay)
	return nil
}

func (s *show) intro() {
	s.print(
		s.color.bold("noecho demo")+": a Kafka broker in this process, a shop that repeats itself, and the relay beside it.",
		fmt.Sprintf("The shop writes to the topic %s; the relay copies it to %s, each order once:", inputTopic, outputTopic), "",
		s.color.dim("  noecho run --brokers "+s.broker.Addr()+" --input "+inputTopic+" --output "+outputTopic+" --group "+groupName+" \\"),
		s.color.dim("             --key json:order_id --window "+brief(relayWindow)+" --data-dir "+filepath.Join(s.dir, "store")), "")
}

// observe notes where the counters stand.
func (s *show) observe() {
	s.moments = append(s.moments, moment{
		at: s.now(), in: s.broker.end(inputTopic), out: s.broker.end(outputTopic), made: s.shop.Sent().Orders,
	})
}

// seen returns the last moment at or before t.
func (s *show) seen(t time.Duration) moment {
	i := sort.Search(len(s.moments), func(i int) bool { return s.moments[i].at > t })
	if i == 0 {
		return moment{}
	}
	return s.moments[i-1]
}

// madeAt returns how many orders had been made at a share of the demo's length.
func (s *show) madeAt(share float64) int64 {
	return s.seen(time.Duration(share * float64(s.total))).made
}

// frame is what the view shows now.
func (s *show) frame() *frame {
	last := s.seen(forever)
	f := &frame{elapsed: s.now(), total: s.total, in: last.in, out: last.out}
	f.inRate, f.outRate = rates(s.seen(last.at-time.Second), last)
	step := s.total / traceSteps
	for i := range traceSteps {
		from, to := s.seen(time.Duration(i)*step), s.seen(time.Duration(i+1)*step)
		if to.at <= from.at {
			break
		}
		in, out := rates(from, to)
		f.inTrace, f.outTrace = append(f.inTrace, in), append(f.outTrace, out)
	}
	s.sampler.fill(f)
	f.relay, f.relayDown = s.relayText()
	return f
}

func rates(from, to moment) (in, out float64) {
	d := (to.at - from.at).Seconds()
	if d <= 0 {
		return 0, 0
	}
	return float64(to.in-from.in) / d, float64(to.out-from.out) / d
}

func (s *show) relayText() (text string, down bool) {
	switch {
	case s.relay.ended():
		return "killed (SIGKILL)", true
	case s.kills > 0 && s.back == 0:
		return fmt.Sprintf("pid %d, starting again", s.relay.pid), true
	case s.kills > 0:
		return fmt.Sprintf("pid %d, killed once, back at work after %s", s.relay.pid, short(s.back)), false
	}
	return fmt.Sprintf("pid %d", s.relay.pid), false
}

// finish reads both topics back and says what they prove.
func (s *show) finish(ctx context.Context) error {
	in, err := s.broker.read(ctx, inputTopic)
	if err != nil {
		return err
	}
	out, err := s.broker.read(ctx, outputTopic)
	if err != nil {
		return err
	}
	p, sent := prove(in, out), s.shop.Sent()
	s.print(proofLines(p, sent, s.kills, s.color)...)
	if p.Orders != sent.Orders || p.In != sent.Orders+sent.Echoes() {
		// Not noecho's fault, but then there is nothing to prove it with.
		return errors.New("the demo's own input is not what the shop sent")
	}
	if !p.Holds() {
		return ErrNotProved
	}
	return nil
}

// proofLines is the end of the demo.
func proofLines(p Proof, sent Sent, kills int, c palette) []string {
	row := func(name string, n int64, more string) string {
		return "  " + pad(name, 26) + c.bold(fmt.Sprintf("%9s", count(n))) + c.dim(strings.TrimRight("   "+more, " "))
	}
	verdict := c.wrap("1;32", fmt.Sprintf("PROVED: every order exactly once, in order, %s duplicates dropped, through %s.", count(p.Dropped()), times(kills)))
	if !p.Holds() {
		verdict = c.bad("FAILED: the output is not every order exactly once (" + p.Example + ").")
	}
	return []string{
		"",
		"Proof: both topics read back and compared by the order ids in the values. noecho was not asked.", "",
		row("orders made", sent.Orders, ""),
		row("records in "+inputTopic, p.In, fmt.Sprintf("%s echoes: %s retries, %s replayed, %s after the restart",
			count(sent.Echoes()), count(sent.Retries), count(sent.Replayed), count(sent.Resent))),
		row("records in "+outputTopic, p.Out, ""),
		fmt.Sprintf("  lost %s   repeated %s   unknown %s   out of order %s", count(p.Lost), count(p.Repeated), count(p.Unknown), count(p.Disordered)),
		"",
		verdict,
	}
}

func times(kills int) string {
	if kills == 1 {
		return "one kill -9"
	}
	return fmt.Sprintf("%d kill -9", kills)
}
