package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How often the shop's web tier sends an order again because the answer was late, and after how long.
const (
	retryShare = 0.04
	retryMax   = 400 * time.Millisecond
)

// echoSpeed is how many times faster than live orders a replay and a resend run.
const echoSpeed = 3

const shopTick = 10 * time.Millisecond

// Sent counts what the shop has sent.
type Sent struct {
	Orders   int64 // different ones
	Retries  int64 // sent again at once
	Replayed int64 // stretches of the past
	Resent   int64 // the last seconds before a restart of the producer
}

// Echoes are the records that should not come out.
func (s Sent) Echoes() int64 { return s.Retries + s.Replayed + s.Resent }

// shop sends orders at a steady rate, and their echoes. run is one goroutine; the other methods may be called from any.
type shop struct {
	client *kgo.Client
	topic  string
	rate   float64 // orders a second

	// Owned by run.
	rng     *rand.Rand
	owed    float64 // orders due and not yet sent
	retries []retry // ascending by when

	mu      sync.Mutex // protects the rest
	sent    Sent
	past    []*stretch // being sent again, one after the other
	closed  bool       // no more orders and echoes, finish what is owed
	failure error      // the first record the broker refused
}

type retry struct {
	number int64
	when   time.Time
}

// stretch is a range of orders that is sent again.
type stretch struct {
	from, to int64         // numbers; from moves
	count    func(n *Sent) // which counter
	halts    bool          // no new orders until it is through: the producer is busy starting up
	started  time.Time     // zero: now
	after    time.Duration // pause before it starts: the producer is down
}

func newShop(client *kgo.Client, topic string, rate int) *shop {
	return &shop{client: client, topic: topic, rate: float64(rate), rng: rand.New(rand.NewPCG(1, 2))}
}

// Sent returns the counts so far.
func (s *shop) Sent() Sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// Replay sends the orders [from, to) once more, while new ones go on.
func (s *shop) Replay(from, to int64) {
	s.again(&stretch{from: from, to: to, count: func(n *Sent) { n.Replayed++ }})
}

// Restart stops sending for a moment, then sends the orders [from, now) again, then goes on.
func (s *shop) Restart(from int64, pause time.Duration) {
	s.again(&stretch{from: from, to: s.Sent().Orders, halts: true, after: pause, count: func(n *Sent) { n.Resent++ }})
}

func (s *shop) again(p *stretch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = append(s.past, p)
}

// Close stops new orders; run returns when all echoes are out and acknowledged.
func (s *shop) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// run sends until Close or the end of ctx. Its error is the first record that the broker did not take.
func (s *shop) run(ctx context.Context) error {
	tick := time.NewTicker(shopTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			// By the clock and not by the tick: a machine under load skips ticks.
			done := s.step(ctx, now, now.Sub(last))
			last = now
			if !done {
				continue
			}
		}
		if err := s.client.Flush(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.failure
	}
}

// step sends what is due at now and says whether everything is out.
func (s *shop) step(ctx context.Context, now time.Time, d time.Duration) (done bool) {
	s.mu.Lock()
	closed := s.closed || s.failure != nil
	halted := len(s.past) > 0 && s.past[0].halts
	s.mu.Unlock()
	if !closed && !halted {
		for s.owed += s.rate * d.Seconds(); s.owed >= 1; s.owed-- {
			s.order(ctx, now)
		}
	}
	for len(s.retries) > 0 && (closed || !s.retries[0].when.After(now)) {
		s.send(ctx, s.retries[0].number, 2, func(n *Sent) { n.Retries++ })
		s.retries = s.retries[1:]
	}
	s.echo(ctx, now, int(echoSpeed*s.rate*d.Seconds())+1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return closed && len(s.past) == 0 && len(s.retries) == 0
}

// order sends a new order and may plan its retry.
func (s *shop) order(ctx context.Context, now time.Time) {
	number := s.Sent().Orders
	s.send(ctx, number, 1, func(n *Sent) { n.Orders++ })
	if s.rng.Float64() < retryShare {
		when := now.Add(time.Duration(s.rng.Int64N(int64(retryMax))))
		i := len(s.retries)
		s.retries = append(s.retries, retry{number, when})
		for ; i > 0 && s.retries[i-1].when.After(when); i-- {
			s.retries[i-1], s.retries[i] = s.retries[i], s.retries[i-1]
		}
	}
}

// echo sends at most n records of the first stretch.
func (s *shop) echo(ctx context.Context, now time.Time, n int) {
	s.mu.Lock()
	if len(s.past) == 0 {
		s.mu.Unlock()
		return
	}
	p := s.past[0]
	s.mu.Unlock()
	if p.started.IsZero() {
		p.started = now
	}
	if now.Sub(p.started) < p.after {
		return
	}
	for ; n > 0 && p.from < p.to; n-- {
		s.send(ctx, p.from, 2, p.count)
		p.from++
	}
	if p.from >= p.to {
		s.mu.Lock()
		s.past = s.past[1:]
		s.mu.Unlock()
	}
}

// send produces one record and counts it. Idempotent and in order, so the first copy in the log is the original.
func (s *shop) send(ctx context.Context, number int64, attempt int, count func(*Sent)) {
	o := newOrder(number, attempt)
	value, err := json.Marshal(o)
	if err != nil {
		panic("demo: an order cannot be encoded: " + err.Error())
	}
	s.client.Produce(ctx, &kgo.Record{Topic: s.topic, Key: []byte(o.Customer), Value: value}, s.acked)
	s.mu.Lock()
	count(&s.sent)
	s.mu.Unlock()
}

func (s *shop) acked(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = fmt.Errorf("the demo's broker refused a record of %s: %w", r.Topic, err)
	}
}
