package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// book is a handler that keeps what it was given, over many lives.
type book struct {
	mu   sync.Mutex
	done map[int32][]int64 // offsets, in the order they were handled
	bad  map[string]bool   // values that fail

	before  map[string]bool // what was handled, as topic/partition/offset
	unaware []string        // what was handled before, and was not called redelivered
}

func newBook() *book {
	return &book{done: map[int32][]int64{}, bad: map[string]bool{}, before: map[string]bool{}}
}

var errBad = errors.New("bad record")

func (b *book) handle(_ context.Context, batch Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed RecordErrors
	for i, r := range batch.Records {
		if b.bad[string(r.Value)] {
			failed.Add(i, errBad)
			continue
		}
		b.done[batch.Partition] = append(b.done[batch.Partition], r.Offset)
		at := fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
		if b.before[at] && !batch.Redelivered(i) {
			b.unaware = append(b.unaware, at)
		}
		b.before[at] = true
	}
	return failed.Err()
}

func (b *book) of(part int32) []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.done[part])
}

// set returns what was handled at least once, ascending.
func (b *book) set(part int32) []int64 {
	all := b.of(part)
	slices.Sort(all)
	return slices.Compact(all)
}

func (w *world) consumerConfig(n *network, handler Handler) ConsumerConfig {
	cfg := ConsumerConfig{
		Client: []kgo.Opt{kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(n.dial)},
		Topic:  testIn, Group: testGroup, CommitInterval: 5 * time.Millisecond, BatchRecords: 64, Handler: handler,
		Retry: Retry{Attempts: 2, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond},
	}
	cfg.Key, _ = ParseKey("key")
	if os.Getenv("NOECHO_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return cfg
}

// prepareConsumer opens the engine and makes a consumer, which start runs.
func (w *world) prepareConsumer(h *hooks, handler Handler, edit func(*ConsumerConfig)) *life {
	w.t.Helper()
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(w.t, err)
	l := &life{w: w, net: &network{}, e: e, done: make(chan struct{}), dead: make(chan struct{})}
	cfg := w.consumerConfig(l.net, handler)
	if edit != nil {
		edit(&cfg)
	}
	if w.editConsumer != nil {
		w.editConsumer(&cfg)
	}
	if h == nil {
		h = &hooks{}
	}
	l.c, err = newConsumer(cfg, hookedStore{cfg.Scope.open(e, cfg.Topic), h})
	require.NoError(w.t, err)
	l.m, l.run = &l.c.member, l.c.Run
	return l
}

func (w *world) consume(handler Handler, edit func(*ConsumerConfig)) *life {
	return w.prepareConsumer(nil, handler, edit).start()
}

func briefly(cfg *ConsumerConfig) { cfg.SessionTimeout = 300 * time.Millisecond }

func offsets(records []*kgo.Record) (out []int64) {
	for _, r := range records {
		out = append(out, r.Offset)
	}
	return out
}

// TestConsumer: the handler gets the first record of each key, once and in order, and nothing else.
func TestConsumer(t *testing.T) {
	for _, recycle := range []bool{false, true} {
		t.Run(fmt.Sprintf("recycle=%v", recycle), func(t *testing.T) {
			w := newWorld(t, 4)
			w.feed(history(rand.New(rand.NewPCG(31, 1)), 4, 3000)...)
			b := newBook()
			l := w.consume(b.handle, func(cfg *ConsumerConfig) { cfg.Recycle = recycle })
			l.settle()
			s := l.c.Stats()
			l.stop()
			want := uint64(0)
			for part := range w.parts {
				require.Equal(t, offsets(w.originals(part, 0)), b.of(part))
				want += uint64(len(b.of(part)))
				at, meta := w.committed(part)
				require.EqualValues(t, len(w.fed[part]), at)
				require.Equal(t, fmt.Sprintf("noecho/1 at=%d out=0 clean", at), meta)
			}
			require.Equal(t, want, s.Totals.Unique)
			require.Equal(t, want, s.Totals.Handled)
			require.EqualValues(t, 3000, s.Totals.Unique+s.Totals.Duplicate)
			require.Positive(t, s.Totals.Calls)
			require.Positive(t, s.Totals.HandlerTime)
			require.Len(t, s.Partitions, 4)
			for _, p := range s.Partitions {
				require.Zero(t, p.Lag)
				require.Equal(t, p.Next, p.Committed)
				require.Equal(t, StateRunning, p.State)
			}
			require.Equal(t, s.Totals, l.c.Stats().Totals, "the totals outlive the assignments")
		})
	}
}

// TestConsumerMissingKey: records without a key go the way the configuration says.
func TestConsumerMissingKey(t *testing.T) {
	for _, missing := range []MissingKey{MissingPass, MissingDrop, MissingFail} {
		t.Run(string(missing), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(rec(0, "a", "1"), rec(0, "", "2"), rec(0, "", "2"), rec(0, "a", "1"))
			b := newBook()
			l := w.consume(b.handle, func(cfg *ConsumerConfig) { cfg.OnMissingKey = missing })
			if missing == MissingFail {
				<-l.done
				var none *MissingKeyError
				require.ErrorAs(t, l.err, &none)
				require.EqualValues(t, 1, none.Offset)
				return
			}
			l.settle()
			s := l.c.Stats().Totals
			l.stop()
			if missing == MissingPass {
				require.Equal(t, []int64{0, 1, 2}, b.of(0))
				require.EqualValues(t, 2, s.Bypassed)
			} else {
				require.Equal(t, []int64{0}, b.of(0))
				require.EqualValues(t, 2, s.NoKey)
			}
		})
	}
}

// TestConsumerRewound: an operator's rewind brings all originals again, told from new ones, and no copy.
func TestConsumerRewound(t *testing.T) {
	for _, to := range []int64{0, 1, 700, 1999} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(history(rand.New(rand.NewPCG(32, uint64(to))), 1, 2000)...)
			b := newBook()
			l := w.consume(b.handle, briefly)
			l.settle()
			l.stop()
			w.vacate()
			w.reset(0, to)
			again := newBook()
			l = w.consume(func(ctx context.Context, batch Batch) error {
				for i := range batch.Records {
					if !batch.Redelivered(i) {
						return errors.New("a record of a rewind is not called redelivered")
					}
				}
				return again.handle(ctx, batch)
			}, briefly)
			l.settle()
			l.stop()
			require.Equal(t, offsets(w.originals(0, to)), again.of(0))
			at, meta := w.committed(0)
			require.EqualValues(t, 2000, at)
			require.NotContains(t, meta, "rewound")
		})
	}
}

// TestConsumerStopFinishes: a stop lets the handler finish, commits what it did, and calls it no more.
func TestConsumerStopFinishes(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(33, 1)), 1, 1000)...)
	b := newBook()
	entered, let := make(chan struct{}, 1000), make(chan struct{})
	l := w.consume(func(ctx context.Context, batch Batch) error {
		entered <- struct{}{}
		<-let
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return b.handle(ctx, batch)
	}, nil)
	letGo := sync.OnceFunc(func() { close(let) })
	t.Cleanup(letGo)
	<-entered
	l.cancel()
	w.eventually("draining", func() bool { s := l.c.Stats(); return len(s.Partitions) == 1 && s.Partitions[0].State == StateDraining })
	letGo()
	l.stop()
	require.Empty(t, entered)
	require.Equal(t, offsets(w.originals(0, 0))[:len(b.of(0))], b.of(0))
	at, meta := w.committed(0)
	require.EqualValues(t, 64, at)
	require.Contains(t, meta, "clean")
}

// TestConsumerConcurrency: no more handler calls at a time than allowed, and all partitions get on.
func TestConsumerConcurrency(t *testing.T) {
	w := newWorld(t, 6)
	w.feed(history(rand.New(rand.NewPCG(34, 1)), 6, 3000)...)
	b := newBook()
	var mu sync.Mutex
	now, most := 0, 0
	l := w.consume(func(ctx context.Context, batch Batch) error {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond) // a chance for others to come in, not waited for
		err := b.handle(ctx, batch)
		mu.Lock()
		now--
		mu.Unlock()
		return err
	}, func(cfg *ConsumerConfig) { cfg.Concurrency = 2 })
	l.settle()
	l.stop()
	require.LessOrEqual(t, most, 2)
	for part := range w.parts {
		require.Equal(t, offsets(w.originals(part, 0)), b.of(part))
	}
}

func TestConsumerConfig(t *testing.T) {
	var config *ConfigError
	_, err := NewConsumer(ConsumerConfig{})
	require.ErrorAs(t, err, &config)
	_, err = newConsumer(ConsumerConfig{OnError: "shrug", BatchRecords: -1, Concurrency: -1, Retry: Retry{MinBackoff: 2, MaxBackoff: 1}}, namedStore("x"))
	require.ErrorAs(t, err, &config)
	require.Len(t, config.Problems, 7, config.Problems) // topic, handler and group are missing, and the four above
	ok := ConsumerConfig{Topic: "a", Group: "g", Handler: newBook().handle}
	c, err := newConsumer(ok, namedStore("abc"))
	require.NoError(t, err)
	require.Equal(t, "noecho-abc", c.member.cfg.InstanceID)
	require.Equal(t, "payload", c.member.cfg.Key.String())
	require.Nil(t, c.pool)
	ok.OnError = OnErrorDeadLetter
	_, err = newConsumer(ok, namedStore("abc"))
	require.ErrorContains(t, err, "dead_letter_topic is missing")
	ok.DeadLetterTopic = "a"
	_, err = newConsumer(ok, namedStore("abc"))
	require.ErrorContains(t, err, "the topic that is read")
}

func TestConsumerPreflight(t *testing.T) {
	w := newWorld(t, 2)
	ask := func(edit func(*ConsumerConfig)) error {
		cfg := w.consumerConfig(&network{}, newBook().handle)
		edit(&cfg)
		c, err := newConsumer(cfg, namedStore("x"))
		require.NoError(t, err)
		return c.Preflight(tContext(t))
	}
	require.NoError(t, ask(func(*ConsumerConfig) {}))
	var topic *TopicError
	require.ErrorAs(t, ask(func(c *ConsumerConfig) { c.Topic = "nowhere" }), &topic)
	require.ErrorAs(t, ask(func(c *ConsumerConfig) { c.OnError, c.DeadLetterTopic = OnErrorDeadLetter, "nowhere" }), &topic)
	require.Equal(t, "nowhere", topic.Topic)

	require.NoError(t, w.cluster.CreateTopic("orders-dead", 1, nil))
	dead := func(c *ConsumerConfig) { c.OnError, c.DeadLetterTopic = OnErrorDeadLetter, "orders-dead" }
	require.NoError(t, ask(dead))
	w.limit("orders-dead", 1000)
	require.ErrorAs(t, ask(dead), &topic)
	require.ErrorContains(t, topic, "max.message.bytes")
}

func TestRetryPause(t *testing.T) {
	r := Retry{MinBackoff: 100 * time.Millisecond, MaxBackoff: 10 * time.Second}
	for attempt, nominal := range map[int]time.Duration{1: 100, 2: 200, 7: 6400, 8: 10000, 40: 10000, 1 << 40: 10000} {
		for range 100 {
			pause := r.pause(attempt)
			require.LessOrEqual(t, pause, nominal*time.Millisecond)
			require.GreaterOrEqual(t, pause, nominal*time.Millisecond/2)
		}
	}
}
