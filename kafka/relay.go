package kafka

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Relay copies a topic to another and leaves out the duplicates. See the package comment for how. Run is called once;
// Preflight and Stats may be called at any time, from any goroutine.
type Relay struct {
	member // the group's half

	// Immutable after NewRelay.
	cfg        RelayConfig // whole; member.cfg is the part of it that the group's half knows
	compressor kgo.Compressor

	mode atomic.Pointer[Mode] // written under modeMu

	duplicates *producer // to their topic; nil: they have none. As producer
	producer   *producer // set by joining, under member.mu, before any callback; immutable then

	maxMessage atomic.Int64 // max.message.bytes of the output; 0: not known
	batchLimit atomic.Int64 // bytes at which a batch is closed

	totals Totals // of assignments that are gone; protected by member.mu
}

// NewRelay checks the configuration, all of it at once: the error is a *ConfigError or ErrSameTopic. It asks no broker;
// Preflight does.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	if cfg.Engine == nil && cfg.Mode == ModeBypass {
		return newRelay(cfg, noStore{})
	}
	if cfg.Engine == nil {
		return nil, &ConfigError{Problems: []string{"engine is missing"}}
	}
	return newRelay(cfg, cfg.Scope.open(cfg.Engine, cfg.Input))
}

func newRelay(cfg RelayConfig, s store) (*Relay, error) {
	cfg.ensureDefaults(s.ID())
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := checkSeed(cfg.ChangelogTopic, s); err != nil {
		return nil, err
	}
	compressor, err := kgo.DefaultCompressor(slices.Clone(cfg.Compression)...)
	if err != nil {
		return nil, &ConfigError{Problems: []string{"compression: " + err.Error()}}
	}
	r := &Relay{cfg: cfg, compressor: compressor}
	r.pool = newRecordPool()
	r.init(cfg.member(), s, r)
	r.mode.Store(&cfg.Mode)
	r.bypass.Store(cfg.Mode == ModeBypass)
	_, none := s.(noStore)
	r.stateless.Store(none)
	return r, nil
}

// Run relays until ctx ends, then finishes what is under way, commits, and returns nil: nothing is left behind, and the
// next start has nothing to look for. On a fatal error it drops what is under way and returns the error; the next start
// finds out what reached the output. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	return r.run(ctx, func(stop context.Context) {
		if r.maxMessage.Load() != 0 {
			return
		}
		if err := r.learnLimits(stop); err != nil && stop.Err() == nil {
			r.log.Info("max.message.bytes of the output is not known; the broker will say", "cause", err)
		}
	})
}

// joining implements role.
func (r *Relay) joining(cl *kgo.Client) {
	r.mu.Lock()
	r.producer = newProducer(cl, r.cfg.Output, r.log, r.fail)
	r.producer.lease = &r.lease
	if r.cfg.OnDuplicate == DuplicateTopic {
		r.duplicates = newProducer(cl, r.cfg.DuplicatesTopic, r.log, r.fail)
		r.duplicates.lease = &r.lease
	}
	r.mu.Unlock()
	r.beginTransactions()
}

// leaving implements role.
func (r *Relay) leaving() {
	if r.duplicates != nil {
		r.duplicates.halt() // first: in a transaction one producer may wait for the other's request to the coordinator
	}
	r.producer.close()
	if r.duplicates != nil {
		r.duplicates.close()
	}
}

// newTask implements role.
func (r *Relay) newTask(a *assignment) task {
	w := &worker{assignment: a, r: r, open: -1, lastOut: -1, lane: &lane{partition: a.part}}
	w.lane.acked, w.lane.split = w.acked, w.split
	w.build = r.newBuilder(a.part)
	if r.duplicates != nil {
		w.dups = newDuplicates(w)
	}
	return w
}

// gone implements role.
func (r *Relay) gone(a *assignment) {
	w := a.task.(*worker)
	w.count.addTo(&r.totals)
	if r.txn != nil {
		r.txn.left(w)
	}
}

func (r *Relay) newBuilder(part int32) builder {
	return builder{prefix: []byte(sourcePrefix(r.cfg.Input, part)), compressor: r.compressor, transactional: r.cfg.Fencing == FencingTransactional}
}

// share implements role: it makes the batches smaller where partitions are many. Each holds up to half a dozen, open,
// pending and spare, and as many of duplicates where these have a topic. Many small ones share a request.
func (r *Relay) share(bytes int64) {
	if r.cfg.OnDuplicate == DuplicateTopic {
		bytes /= 2
	}
	limit := min(int64(r.cfg.BatchBytes), max(64<<10, bytes/8))
	if known := r.maxMessage.Load(); known > 0 {
		limit = min(limit, known)
	}
	r.batchLimit.Store(limit)
}

// workersOf returns the tasks of assignments.
func workersOf(as []*assignment) []*worker {
	ws := make([]*worker, len(as))
	for i, a := range as {
		ws[i] = a.task.(*worker)
	}
	return ws
}

// assignmentsOf returns the assignments of workers.
func assignmentsOf(ws []*worker) []*assignment {
	as := make([]*assignment, len(ws))
	for i, w := range ws {
		as[i] = w.assignment
	}
	return as
}

// Stats returns a snapshot.
func (r *Relay) Stats() Stats {
	s := Stats{Mode: r.Mode(), Commits: r.commits.Load(), CommitFailures: r.commitFailures.Load(), Pauses: r.pauses.Load(),
		Learned: r.learner.records.Load(), Missing: r.missing.snapshot(), Added: r.missing.added.Load(),
		Changelog: r.changelogStats(), Standby: r.standbyStats()}
	r.mu.Lock()
	s.Totals = r.totals
	if r.producer != nil {
		s.ProduceRetries = r.producer.retries.Load()
	}
	if r.duplicates != nil {
		s.ProduceRetries += r.duplicates.retries.Load()
	}
	workers := make([]*worker, 0, len(r.mu.assigned))
	for _, a := range r.mu.assigned {
		w := a.task.(*worker)
		workers = append(workers, w)
		w.count.addTo(&s.Totals)
	}
	r.mu.Unlock()
	for _, w := range workers {
		s.Partitions = append(s.Partitions, w.stats())
	}
	s.LeaseHeld, s.SessionTimeout, s.SessionAssumed = r.lease.holds(), r.lease.sessionTimeout(), r.lease.assumed.Load()
	s.Unconfirmed = len(s.Partitions) > 0 && !s.LeaseHeld
	slices.SortFunc(s.Partitions, func(a, b PartitionStats) int { return cmp.Compare(a.Partition, b.Partition) })
	return s
}

func (w *worker) stats() PartitionStats {
	var t Totals
	w.count.addTo(&t)
	g := w.gauges()
	return PartitionStats{Partition: w.part, State: g.state, Paused: g.paused, Totals: t,
		Queued: g.queued, QueuedBytes: g.queuedBytes, Next: g.next, Committed: g.committed, Lag: g.lag, Learning: w.learned()}
}
