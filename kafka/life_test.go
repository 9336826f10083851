package kafka

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// network dials for one life, and can be cut: all at once, for ever.
type network struct {
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

var errCut = errors.New("network cut")

func (n *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		_ = conn.Close()
		return nil, errCut
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for _, conn := range n.conns {
		_ = conn.Close()
	}
}

// heal lets a network that was cut dial again.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = false
}

// life is one relay or consumer from its start to its end.
type life struct {
	w      *world
	net    *network
	e      *engine.Engine
	m      *member
	run    func(context.Context) error
	relay  *Relay    // one of the two
	c      *Consumer // is set
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run, valid once done is closed

	once sync.Once
	dead chan struct{} // closed when the crash is complete: what the life does from then on is nobody's business
}

var errCrash = errors.New("crash")

// hooks lets a test stand between the relay and the engine. A nil function does nothing.
type hooks struct {
	check  func(part int32) error
	before func(part int32, next int64) error // Commit
	after  func(part int32, next int64) error
	probe  func() error
}

type hookedStore struct {
	engineStore
	h *hooks
}

func (s hookedStore) Partition(topic string, part int32) (partition, error) {
	p, err := s.engineStore.Partition(topic, part)
	if err != nil {
		return nil, err
	}
	return &hookedPartition{p, part, s.h}, nil
}

type hookedPartition struct {
	partition
	part int32
	h    *hooks
}

func (p *hookedPartition) Check(recs []engine.Record, dst []engine.Verdict) ([]engine.Verdict, error) {
	if p.h.check != nil {
		if err := p.h.check(p.part); err != nil {
			return dst, err
		}
	}
	return p.partition.Check(recs, dst)
}

func (p *hookedPartition) CheckMarks(recs []engine.Record, dst []engine.Verdict, marks []engine.Mark) ([]engine.Verdict, []engine.Mark, error) {
	if p.h.check != nil {
		if err := p.h.check(p.part); err != nil {
			return dst, marks, err
		}
	}
	return p.partition.CheckMarks(recs, dst, marks)
}

func (p *hookedPartition) Commit(ctx context.Context, next int64) error {
	if next < 0 {
		if p.h.probe != nil {
			if err := p.h.probe(); err != nil {
				return err
			}
		}
		return p.partition.Commit(ctx, next)
	}
	if p.h.before != nil {
		if err := p.h.before(p.part, next); err != nil {
			return err
		}
	}
	if err := p.partition.Commit(ctx, next); err != nil {
		return err
	}
	if p.h.after != nil {
		return p.h.after(p.part, next)
	}
	return nil
}

// config is small in everything, so that queues fill, batches close and commits come often.
func (w *world) config(n *network) RelayConfig {
	cfg := RelayConfig{
		Client: []kgo.Opt{kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(n.dial)},
		Input:  testIn, Output: testOut, Group: testGroup, CommitInterval: 5 * time.Millisecond, SettleWait: 10 * time.Millisecond,
		BatchBytes: 4 << 10,
	}
	cfg.Key, _ = ParseKey("key")
	if os.Getenv("NOECHO_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return cfg
}

func (w *world) engineOptions() engine.Options {
	return engine.Options{Window: cmp.Or(w.window, 24*time.Hour), FS: w.fs, MaxClockLead: -1, MemoryBytes: 4 << 20, CacheBytes: 1 << 20, SegmentBytes: 1 << 20,
		Seed: []byte("0123456789abcdef")}
}

// prepare opens the engine and makes a relay, which start runs.
func (w *world) prepare(h *hooks, edit func(*RelayConfig)) *life {
	w.t.Helper()
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(w.t, err)
	l := &life{w: w, net: &network{}, e: e, done: make(chan struct{}), dead: make(chan struct{})}
	cfg := w.config(l.net)
	if w.txn {
		cfg.Fencing = FencingTransactional
	}
	if w.edit != nil {
		w.edit(&cfg)
	}
	if edit != nil {
		edit(&cfg)
	}
	if h == nil {
		h = &hooks{}
	}
	l.relay, err = newRelay(cfg, hookedStore{cfg.Scope.open(e, cfg.Input), h})
	require.NoError(w.t, err)
	l.m, l.run = &l.relay.member, l.relay.Run
	return l
}

func (l *life) start() *life {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	if l.w.started != nil {
		l.w.started(l)
	}
	go func() {
		defer close(l.done)
		l.err = l.run(ctx)
	}()
	l.w.t.Cleanup(func() { cancel(); <-l.done; _ = l.e.Close() })
	return l
}

func (w *world) start(h *hooks, edit func(*RelayConfig)) *life { return w.prepare(h, edit).start() }

// stop is SIGTERM.
func (l *life) stop() {
	l.w.t.Helper()
	l.cancel()
	<-l.done
	require.NoError(l.w.t, l.err)
	require.NoError(l.w.t, l.e.Close())
}

// die is kill -9, or a power failure: from this moment on nothing leaves the process, and the next life finds the disk
// as it is now, with what was not synced there by the given chance. It may be called from any goroutine, many times.
func (l *life) die(percent int, seed uint64) {
	l.once.Do(func() {
		l.net.cut()
		l.w.fs = l.w.fs.Crash(percent, seed)
		close(l.dead)
		l.m.fail(errCrash)
	})
}

// bury waits for a life that died.
func (l *life) bury() {
	l.w.t.Helper()
	select {
	case <-l.done:
	case <-time.After(patience):
		require.Fail(l.w.t, "Run did not end")
	}
	require.Error(l.w.t, l.err)
	select {
	case <-l.dead:
	default:
		require.ErrorIs(l.w.t, l.err, errCrash)
	}
	_ = l.e.Close()
}

// idle says whether the life has handled all that was fed, or has ended.
func (l *life) idle() bool {
	select {
	case <-l.done:
		return true
	default:
	}
	as := l.m.assignments()
	if len(as) != int(l.w.parts) {
		return false
	}
	for _, a := range as {
		g, fed := a.gauges(), l.w.fed[a.part]
		if g.state == StateRestoring || len(fed) > 0 && g.next <= fed[len(fed)-1].Offset {
			return false
		}
	}
	return true
}

// committed says whether the relay has handled and committed all that was fed, or has ended.
func (l *life) committed() bool {
	if !l.idle() {
		return false
	}
	for _, a := range l.m.assignments() {
		if g := a.gauges(); len(l.w.fed[a.part]) > 0 && g.committed != g.next {
			return false
		}
	}
	return true
}

// settle waits until all that was fed is handled and committed.
func (l *life) settle() {
	l.w.t.Helper()
	l.w.eventually("all handled and committed", l.committed)
	select {
	case <-l.done:
		require.NoError(l.w.t, l.err, "Run ended")
	default:
	}
}
