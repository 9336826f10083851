package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Relay copies a topic to another and leaves out the duplicates. See the package comment for how. Run is called once;
// Preflight and Stats may be called at any time, from any goroutine.
type Relay struct {
	// Immutable after NewRelay.
	cfg        RelayConfig
	store      store
	log        *slog.Logger
	compressor kgo.Compressor
	pool       *recordPool
	relief     chan struct{} // cap 1: some queue is no longer crowded

	// Immutable while Run runs.
	cl        *kgo.Client
	producer  *producer
	stop      context.Context // ends when the caller wants Run to end, or on a fatal error
	running   sync.WaitGroup  // restores and the commit loop
	connected chan struct{}   // closed when cl and producer are set: the client's callbacks wait for it

	broken    context.Context // ends with the first fatal error, which is its cause
	breakWith context.CancelCauseFunc

	maxMessage     atomic.Int64 // max.message.bytes of the output; 0: not known
	queueBound     atomic.Int64 // bytes a queue may hold: the share of one partition
	batchLimit     atomic.Int64 // bytes at which a batch is closed
	commits        atomic.Int64
	commitFailures atomic.Int64
	pauses         atomic.Int64

	// Lock order: releaseMu, commitMu, pauseMu, mu, worker.mu, producer.mu.
	releaseMu sync.Mutex // held while partitions are given up: revoked, lost or stopping
	commitMu  sync.Mutex // held over every commit: they must not overtake each other, nor outlive an assignment
	pauseMu   sync.Mutex // held over pausing and resuming
	mu        struct {
		sync.Mutex
		workers    map[int32]*worker // assigned partitions of the input
		totals     Totals            // of workers that are gone
		stopping   bool              // no new workers
		cancelTick context.CancelFunc
		ran        bool
	}
}

// NewRelay checks the configuration, all of it at once: the error is a *ConfigError or ErrSameTopic. It asks no broker;
// Preflight does.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	if cfg.Engine == nil {
		return nil, &ConfigError{Problems: []string{"engine is missing"}}
	}
	return newRelay(cfg, engineStore{cfg.Engine})
}

func newRelay(cfg RelayConfig, s store) (*Relay, error) {
	cfg.ensureDefaults(s.ID())
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	compressor, err := kgo.DefaultCompressor(slices.Clone(cfg.Compression)...)
	if err != nil {
		return nil, &ConfigError{Problems: []string{"compression: " + err.Error()}}
	}
	r := &Relay{cfg: cfg, store: s, log: cfg.Logger, compressor: compressor, pool: newRecordPool(), relief: make(chan struct{}, 1), connected: make(chan struct{})}
	r.mu.workers = make(map[int32]*worker)
	r.broken, r.breakWith = context.WithCancelCause(context.Background())
	r.shareMemory(1)
	return r, nil
}

// fail stops the relay with its first fatal error.
func (r *Relay) fail(err error) { r.breakWith(err) }

// Run relays until ctx ends, then finishes what is under way, commits, and returns nil: nothing is left behind, and the
// next start has nothing to look for. On a fatal error it drops what is under way and returns the error; the next start
// finds out what reached the output. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	r.mu.Lock()
	again := r.mu.ran
	r.mu.ran = true
	r.mu.Unlock()
	if again {
		return errors.New("kafka: Run was called before; make a new Relay")
	}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.broken, cancel)()
	r.stop = stop

	if r.maxMessage.Load() == 0 {
		if err := r.learnLimits(stop); err != nil && stop.Err() == nil {
			r.log.Info("max.message.bytes of the output is not known; the broker will say", "cause", err)
		}
	}
	if err := r.connect(); err != nil {
		return err
	}
	r.running.Go(func() { r.commitLoop(stop) })
	r.poll(stop)
	err := r.shutdown()
	if fatal := context.Cause(r.broken); fatal != nil {
		return fatal
	}
	return err
}

// connect makes the client, which joins the group at once.
func (r *Relay) connect() error {
	cl, err := kgo.NewClient(r.options()...)
	if err != nil {
		return &ConfigError{Problems: []string{"client: " + err.Error()}}
	}
	r.cl = cl
	r.mu.Lock()
	r.producer = newProducer(cl, r.cfg.Output, r.log, r.fail)
	r.mu.Unlock()
	close(r.connected)
	return nil
}

// poll feeds the workers until stop ends.
func (r *Relay) poll(stop context.Context) {
	for stop.Err() == nil {
		r.pushBack(stop)
		fetches := r.cl.PollFetches(stop)
		bound := r.queueBound.Load()
		fetches.EachError(func(topic string, part int32, err error) { r.fetchError(stop, topic, part, err) })
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 && p.HighWatermark == 0 {
				return
			}
			r.mu.Lock()
			w := r.mu.workers[p.Partition]
			r.mu.Unlock()
			if w != nil {
				w.highWater.Store(p.HighWatermark)
				w.feed(p.Records, bound)
			}
		})
		r.cl.AllowRebalance()
	}
}

// fetchError sorts what a poll may bring: the client retries by itself what passes and tells it only for the log.
func (r *Relay) fetchError(stop context.Context, topic string, part int32, err error) {
	if stop.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	if fatal := r.fatalGroup(err); fatal != nil {
		r.fail(fatal)
		return
	}
	var session *kgo.ErrGroupSession
	if errors.As(err, &session) {
		r.log.Warn("group session ended; joining again", "group", r.cfg.Group, "cause", err)
		return
	}
	var loss *kgo.ErrDataLoss
	var large *kgo.ErrDecompressTooLarge
	switch {
	case errors.As(err, &large):
		r.fail(&TopicError{Topic: topic, Err: fmt.Errorf("partition %d: %w", part, err),
			Hint: fmt.Sprintf("batches of more than %d bytes after decompression are not read: have the producer close its batches earlier (batch.size), "+
				"or move the group past this one with the usual tool", r.cfg.DecompressBytes)})
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &loss):
		r.fail(&TopicError{Topic: topic, Err: fmt.Errorf("partition %d: %w", part, err),
			Hint: "records were removed before they were read (retention, or an unclean leader election); restart to go on at what is left, and give the topic more retention"})
	case permanent(err):
		r.fail(&TopicError{Topic: topic, Err: fmt.Errorf("partition %d: %w", part, err), Hint: "check that the topic exists and the relay's user may READ it"})
	default:
		r.log.Warn("fetch", "topic", topic, "partition", part, "cause", err)
	}
}

// shutdown ends all that Run has started. After a fatal error nothing is drained.
func (r *Relay) shutdown() error {
	r.mu.Lock()
	r.mu.stopping = true
	parts := make([]int32, 0, len(r.mu.workers))
	for part := range r.mu.workers {
		parts = append(parts, part)
	}
	r.mu.Unlock()
	err := r.release(context.Background(), parts, r.broken.Err() == nil)
	r.producer.close()
	r.running.Wait()
	r.cl.CloseAllowingRebalance() // a static member does not leave: the partitions wait for its return
	return err
}

func (r *Relay) workers() []*worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	workers := make([]*worker, 0, len(r.mu.workers))
	for _, w := range r.mu.workers {
		workers = append(workers, w)
	}
	return workers
}

// Stats returns a snapshot.
func (r *Relay) Stats() Stats {
	s := Stats{Commits: r.commits.Load(), CommitFailures: r.commitFailures.Load(), Pauses: r.pauses.Load()}
	r.mu.Lock()
	s.Totals = r.mu.totals
	if r.producer != nil {
		s.ProduceRetries = r.producer.retries.Load()
	}
	workers := make([]*worker, 0, len(r.mu.workers))
	for _, w := range r.mu.workers {
		workers = append(workers, w)
		w.count.addTo(&s.Totals)
	}
	r.mu.Unlock()
	for _, w := range workers {
		s.Partitions = append(s.Partitions, w.stats())
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStats) int { return cmp.Compare(a.Partition, b.Partition) })
	return s
}

func (w *worker) stats() PartitionStats {
	var t Totals
	w.count.addTo(&t)
	s := PartitionStats{
		Partition: w.part, State: State(w.state_.Load()), Paused: w.full.Load() == paused, Totals: t,
		Queued: w.queue.records.Load(), QueuedBytes: w.queue.bytes.Load(),
		Committed: w.committed.Load(), Lag: -1,
	}
	w.mu.Lock()
	s.Next = w.nextLocked()
	w.mu.Unlock()
	if high := w.highWater.Load(); high >= 0 {
		s.Lag = max(0, high-s.Next)
	}
	return s
}
