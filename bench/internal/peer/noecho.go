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
	{Name: "noecho", Title: "noecho", Durability: Synced, InFlight: inFlight, Open: openNoecho,
		Note: "the next batches are checked while the log is synced; a batch counts when its marks are on stable storage"},
	{Name: "noecho-wait", Title: "noecho, waiting", Durability: Synced, Open: openNoecho,
		Note: "Check, Commit, and only then the next batch of the partition"},
}

// Noecho is a store of our own.
type Noecho struct {
	Engine *engine.Engine
}

// Options of every store in the bench: the defaults, a clock that is the workload's, and no limit to its lead.
func Options() engine.Options {
	return engine.Options{Window: workload.Window, MaxClockLead: -1, Seed: []byte("noecho-benchmark")}
}

func openNoecho(_ context.Context, c Config) (Peer, error) {
	o := Options()
	if c.Cold {
		o.MemoryBytes = coldMemory
	}
	return OpenNoecho(c.Dir, o)
}

// OpenNoecho opens a store with other options than the usual ones.
func OpenNoecho(dir string, o engine.Options) (*Noecho, error) {
	e, err := engine.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &Noecho{Engine: e}, nil
}

// Worker claims a partition.
func (n *Noecho) Worker(partition int32) (Worker, error) {
	p, err := n.Engine.Partition("bench", partition)
	if err != nil {
		return nil, err
	}
	return NewNoechoWorker(p), nil
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

// noechoWorker checks in Start and commits in Wait. Commits of batches that were checked meanwhile come along: Wait commits
// all that is checked, and finds its own batch durable already when a later one was committed before.
type noechoWorker struct {
	p        *engine.Partition
	verdicts []engine.Verdict
	durable  int64 // of Wait's goroutine: everything below is durable

	mu      sync.Mutex
	checked int64 // everything below is checked
	queue   []started
}

type started struct {
	next       int64
	duplicates int
}

// NewNoechoWorker makes a worker of a claimed partition.
func NewNoechoWorker(p *engine.Partition) Worker { return &noechoWorker{p: p} }

func (w *noechoWorker) Start(recs []workload.Record) (err error) {
	if w.verdicts, err = w.p.Check(recs, w.verdicts[:0]); err != nil {
		return err
	}
	n := 0
	for i := range w.verdicts {
		if w.verdicts[i].Kind == engine.Duplicate {
			n++
		}
	}
	next := recs[len(recs)-1].Offset + 1
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checked = next
	w.queue = append(w.queue, started{next, n})
	return nil
}

func (w *noechoWorker) Wait() (int, error) {
	w.mu.Lock()
	b := w.queue[0]
	w.queue = w.queue[:copy(w.queue, w.queue[1:])]
	checked := w.checked
	w.mu.Unlock()
	if b.next > w.durable {
		if err := w.p.Commit(context.Background(), checked); err != nil {
			return 0, err
		}
		w.durable = checked
	}
	return b.duplicates, nil
}

func (w *noechoWorker) Close() error { return w.p.Close() }
