package peer

import (
	"context"
	"sync"

	"noecho/bench/internal/workload"
	"noecho/engine"
)

// inFlight is how many records of a partition a pipelined peer may have on the way: what a consumer fetches at once.
const inFlight = 16_384

// coldMemory is the budget for tables where the past must not be in them: half a million marks at the most.
const coldMemory = 16 << 20

var noechoKinds = []Kind{
	{Name: "noecho", Title: "noecho", Durability: Synced, InFlight: inFlight, Open: openNoecho(noechoWay{ahead: true}),
		Note: "Check, CommitStart, and the next batch; a batch counts when CommitWait has returned: its marks are on stable storage"},
	{Name: "noecho-wait", Title: "noecho, waiting", Durability: Synced, Open: openNoecho(noechoWay{}),
		Note: "Check, Commit, and only then the next batch of the partition"},
	{Name: "noecho-trail", Title: "noecho, trail", Durability: Synced, Variant: true, InFlight: inFlight, Open: openNoecho(noechoWay{ahead: true, trail: true}),
		Note: "as noecho, and marks are kept in the order of the log as well, for producers that republish the past: 17 bytes of disk a key more"},
}

// Noecho is a store of our own.
type Noecho struct {
	Engine *engine.Engine
	ahead  bool // commits are started and waited for later
}

// Options of every store in the bench: the defaults, a clock that is the workload's, and no limit to its lead.
func Options() engine.Options {
	return engine.Options{Window: workload.Window, MaxClockLead: -1, Seed: []byte("noecho-benchmark")}
}

// noechoWay is how noecho is used.
type noechoWay struct{ ahead, trail bool }

func openNoecho(way noechoWay) func(context.Context, Config) (Peer, error) {
	return func(_ context.Context, c Config) (Peer, error) {
		o := Options()
		o.Trail = way.trail
		if c.Cold {
			o.MemoryBytes = coldMemory
		}
		n, err := OpenNoecho(c.Dir, o)
		if err != nil {
			return nil, err
		}
		n.ahead = way.ahead
		return n, nil
	}
}

// OpenNoecho opens a store with other options than the usual ones. Its workers commit ahead.
func OpenNoecho(dir string, o engine.Options) (*Noecho, error) {
	e, err := engine.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &Noecho{Engine: e, ahead: true}, nil
}

// Worker claims a partition.
func (n *Noecho) Worker(partition int32) (Worker, error) {
	p, err := n.Engine.Partition("bench", partition)
	if err != nil {
		return nil, err
	}
	return NewNoechoWorker(p, n.ahead), nil
}

// Close closes the store.
func (n *Noecho) Close() error { return n.Engine.Close() }

// Settle waits until all but the hot tables is in the index and no compaction has run for a while. Level 0 need not be empty:
// Pebble leaves a few runs there on purpose, and whoever waits for the last of them waits for ever.
func (n *Noecho) Settle(ctx context.Context) error {
	return calm(ctx, func() (busy bool) {
		m := n.Engine.Metrics()
		return m.Unsealed > 0 || m.Index.CompactionsActive > 0
	})
}

// noechoWorker checks in Start and starts the commit there, too, or commits in Wait.
type noechoWorker struct {
	p        *engine.Partition
	ahead    bool
	verdicts []engine.Verdict

	mu    sync.Mutex
	queue []started // protected by mu: Start and Wait have a goroutine each
}

type started struct {
	next       int64
	ticket     engine.Ticket // of a commit that was started
	duplicates int
}

// NewNoechoWorker makes a worker of a claimed partition. ahead: commits are started in Start, and Wait waits for their tickets.
func NewNoechoWorker(p *engine.Partition, ahead bool) Worker {
	return &noechoWorker{p: p, ahead: ahead}
}

func (w *noechoWorker) Start(recs []workload.Record) (err error) {
	if w.verdicts, err = w.p.Check(recs, w.verdicts[:0]); err != nil {
		return err
	}
	b := started{next: recs[len(recs)-1].Offset + 1}
	for i := range w.verdicts {
		if w.verdicts[i].Kind == engine.Duplicate {
			b.duplicates++
		}
	}
	if w.ahead {
		if b.ticket, err = w.p.CommitStart(b.next); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, b)
	return nil
}

func (w *noechoWorker) Wait() (int, error) {
	w.mu.Lock()
	b := w.queue[0]
	w.queue = w.queue[:copy(w.queue, w.queue[1:])]
	w.mu.Unlock()
	if w.ahead {
		return b.duplicates, w.p.CommitWait(context.Background(), b.ticket)
	}
	return b.duplicates, w.p.Commit(context.Background(), b.next)
}

func (w *noechoWorker) Close() error { return w.p.Close() }
