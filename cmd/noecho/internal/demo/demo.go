package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNotProved is returned by Run when the output is not what it must be.
var ErrNotProved = errors.New("the proof failed: the output is not every order exactly once")

// The bounds of Options.
const (
	SecondsMin, SecondsMax = 3, 600
	RateMin, RateMax       = 10, 50_000
	recordsMax             = 20_000_000 // orders of a demo: its broker keeps all in memory
)

const (
	frameEvery   = 100 * time.Millisecond
	startTimeout = 30 * time.Second
	drainTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// Options of Run.
type Options struct {
	Seconds int // how long the shop sells, SecondsMin to SecondsMax
	Rate    int // orders a second, RateMin to RateMax

	Out   io.Writer
	Live  bool       // Out is a terminal: draw over
	Color bool       // colours
	Width func() int // columns of the terminal; with Live

	Executable string // the binary whose `run` is the relay; "": this one
}

// Validate names what is out of bounds, and the bounds.
func (o *Options) Validate() error {
	switch {
	case o.Seconds < SecondsMin || o.Seconds > SecondsMax:
		return fmt.Errorf("--seconds is %d; choose %d to %d", o.Seconds, SecondsMin, SecondsMax)
	case o.Rate < RateMin || o.Rate > RateMax:
		return fmt.Errorf("--rate is %d; choose %d to %d orders a second", o.Rate, RateMin, RateMax)
	case o.Seconds*o.Rate > recordsMax:
		return fmt.Errorf("%d s of %d orders a second do not fit into the demo's memory; choose at most %s orders",
			o.Seconds, o.Rate, count(recordsMax))
	}
	return nil
}

// show is one run of the demo. Its fields belong to Run's goroutine, but for shop and sampler, which have locks.
type show struct {
	*screen
	total   time.Duration
	start   time.Time
	dir     string
	exe     string
	broker  *broker
	shop    *shop
	sampler *sampler
	relay   *child
	kills   int
	back    time.Duration // how long the last restart took; 0: it is not ready yet

	moments []moment // what was there when, ascending, one a frame
}

// forever is later than any moment.
const forever = time.Duration(1<<63 - 1)

// moment is what the counters said at one time.
type moment struct {
	at            time.Duration
	in, out, made int64
}

// Run plays the demo and returns nil if the proof holds. It ends early, with ctx's error, when ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.Validate(); err != nil {
		return err
	}
	s := &show{screen: &screen{w: o.Out, live: o.Live, color: palette(o.Color), width: o.Width}, total: time.Duration(o.Seconds) * time.Second, exe: o.Executable}
	if s.exe == "" {
		if s.exe, err = os.Executable(); err != nil {
			return fmt.Errorf("cannot find this binary: %w", err)
		}
	}
	if s.dir, err = os.MkdirTemp("", "noecho-demo-"); err != nil {
		return fmt.Errorf("cannot make a directory for the relay's store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if s.broker, err = startBroker(); err != nil {
		return err
	}
	defer s.broker.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.MaxBufferedRecords(1<<20), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	s.shop = newShop(client, inputTopic, o.Rate)
	s.sampler = newSampler(s.broker)

	ctx, cancel := context.WithCancel(ctx)
	sampling := make(chan struct{})
	go func() { defer close(sampling); s.sampler.run(ctx) }()
	defer func() { cancel(); <-sampling }()
	defer func() {
		if s.relay != nil {
			s.relay.kill()
		}
	}()
	return s.play(ctx)
}

// play is the demo from the curtain to the proof.
func (s *show) play(ctx context.Context) error {
	s.intro()
	s.start = time.Now()
	if err := s.startRelay(); err != nil {
		return err
	}
	if err := s.wait(ctx, startTimeout, "the relay did not get ready", s.sampler.isReady); err != nil {
		return err
	}
	s.start = time.Now() // the clock of the script begins when all stand ready
	s.event(fmt.Sprintf("relay  ready (pid %d)", s.relay.pid))

	sold := make(chan error, 1)
	shopCtx, stopShop := context.WithCancel(ctx)
	go func() { sold <- s.shop.run(shopCtx) }()
	defer stopShop()
	if err := s.sell(ctx); err != nil {
		return err
	}
	s.shop.Close()
	select {
	case err := <-sold:
		if err != nil {
			return err
		}
	case <-time.After(drainTimeout):
		return errors.New("the demo's broker does not take the last orders")
	}
	if err := s.wait(ctx, drainTimeout, "the relay did not come to the end of its input", s.broker.drained); err != nil {
		return err
	}
	s.observe()
	f := s.frame()
	f.dropped = f.in - f.out // all is handled, so this is exact
	f.inRate, f.outRate = rates(moment{}, s.seen(forever))
	s.draw(f)
	s.settle()
	stopCtx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := s.relay.stop(stopCtx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// sell runs the script until the shop closes.
func (s *show) sell(ctx context.Context) error {
	todo := script
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	for s.now() < s.total {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		s.observe()
		for len(todo) > 0 && s.now().Seconds() >= todo[0].at*s.total.Seconds() {
			if err := todo[0].do(s); err != nil {
				return err
			}
			todo = todo[1:]
		}
		if err := s.check(); err != nil {
			return err
		}
		s.draw(s.frame())
	}
	return nil
}

// wait draws on until done says so.
func (s *show) wait(ctx context.Context, limit time.Duration, problem string, done func() bool) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			s.relay.kill()
			return s.relay.failure(fmt.Sprintf("%s in %v", problem, limit))
		}
		if err := s.check(); err != nil {
			return err
		}
		if len(s.moments) > 0 {
			s.observe()
			s.draw(s.frame())
		}
	}
	return nil
}

// check notices a relay that ended although nobody killed it, and one that has come back.
func (s *show) check() error {
	if s.sampler.relayGone() {
		return s.relay.failure("the relay has ended by itself")
	}
	if s.kills > 0 && s.back == 0 && s.sampler.isReady() {
		s.back = time.Since(s.relay.started)
		s.event("relay  back at work after " + short(s.back))
	}
	return nil
}

func (s *show) now() time.Duration { return time.Since(s.start) }

func (s *show) event(text string) { s.screen.event(s.now(), text) }
