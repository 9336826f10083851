package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// member is a member of a consumer group that keeps the rules of this package: state claimed before records come, back
// pressure, marks durable before offsets, partitions drained before they go. What is done with the records it does not know:
// that is its role, the relay's or the consumer's, which embeds it.
type member struct {
	// Immutable after init.
	cfg    memberConfig
	store  store
	role   role
	log    *slog.Logger
	pool   *recordPool   // nil: records are not given back
	relief chan struct{} // cap 1: some queue is no longer crowded

	// Immutable while run runs.
	cl        *kgo.Client
	hangUp    context.CancelFunc // ends what cl has under way
	input     *topology
	stop      context.Context // ends when the caller wants Run to end, or on a fatal error
	running   sync.WaitGroup  // restores and the commit loop
	connected chan struct{}   // closed when cl is set and the role has heard of it: the client's callbacks wait for it

	broken    context.Context // ends with the first fatal error, which is its cause
	breakWith context.CancelCauseFunc

	modeMu    sync.Mutex  // held while bypass, stateless and the relay's mode are changed, one by the others
	bypass    atomic.Bool // nobody asks the store, and its failures are no matter: see ModeBypass
	stateless atomic.Bool // some partition has no state, or there is no store: bypass is for good

	queueBound     atomic.Int64 // bytes a queue may hold: the share of one partition
	commits        atomic.Int64
	commitFailures atomic.Int64
	pauses         atomic.Int64

	learner    learner
	learnFrom  learnBound                // immutable after init
	changelog  atomic.Pointer[changelog] // set by run, before any assignment; nil: there is none
	standby    atomic.Pointer[standby]   // set by run, before any assignment; nil: nothing is followed
	commitSoon chan struct{}             // cap 1: the commit loop shall not wait for its tick
	scope      *topicScope               // immutable after init; nil: partitions are on their own
	missing    missing
	lease      lease
	heartbeats *heartbeats // set by connect, before the client is made; nil: of ProtocolClassic
	held       instanceHeld
	txn        *transaction // immutable while run runs; nil: commits are plain. Used under commitMu

	watchEvery time.Duration // immutable after init
	counted    chan struct{} // closed when watch knows what the group knew before: nothing is claimed earlier

	// Lock order: releaseMu, assignment.passing, commitMu, pauseMu, mu, assignment.mu, producer.mu, lease.mu; topicScope.mu below mu; lease.mu below heartbeats.mu.
	releaseMu sync.Mutex // held while partitions are given up: revoked, lost or stopping
	commitMu  sync.Mutex // held over every commit: they must not overtake each other, nor outlive an assignment
	pauseMu   sync.Mutex // held over pausing and resuming
	mu        struct {
		sync.Mutex
		assigned   map[int32]*assignment // partitions of the input
		stopping   bool                  // no new assignments
		cancelTick context.CancelFunc
		ran        bool
	}
}

// role is what a member is there for.
type role interface {
	// joining is told of the client before anything comes of it: its callbacks wait. Called by run.
	joining(cl *kgo.Client)
	// newTask makes the task of a new assignment. Called by the client's callback.
	newTask(a *assignment) task
	// restoreAll finds out what has to be known before the records of new assignments can be handled, and lets them run,
	// by way of retryRestore and claim. It has a goroutine of its own.
	restoreAll(as []*assignment)
	// gone is told of an assignment whose goroutine has returned. Called with member.mu held.
	gone(a *assignment)
	// share is told how many bytes each partition may hold. Called with member.mu held, or by init.
	share(bytes int64)
	// leaving ends what the role has started with the client, which is closed after. Called by run.
	leaving()
}

// init makes the member; the role calls it once.
func (m *member) init(cfg memberConfig, s store, r role) {
	m.cfg, m.store, m.role, m.log = cfg, s, r, cfg.Logger
	m.scope = newTopicScope(cfg.Scope)
	m.relief, m.connected, m.counted = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	m.commitSoon = make(chan struct{}, 1)
	m.mu.assigned = make(map[int32]*assignment)
	m.broken, m.breakWith = context.WithCancelCause(context.Background())
	m.watchEvery = watchEvery
	m.learnFrom, _ = cfg.LearnFrom.parse() // validated
	m.lease.init(cfg.RebalanceTimeout)
	if cfg.GroupProtocol == ProtocolClassic {
		m.lease.limit(cfg.SessionTimeout)
	}
	m.shareMemory(1)
}

// fail stops the member with its first fatal error.
func (m *member) fail(err error) { m.breakWith(err) }

// errRanBefore: what a run leaves behind is not fit for another.
var errRanBefore = errors.New("kafka: Run was called before; make a new one")

// run does the work of Run: see there. begin is called before the client is made.
func (m *member) run(ctx context.Context, begin func(stop context.Context)) error {
	m.mu.Lock()
	again := m.mu.ran
	m.mu.ran = true
	m.mu.Unlock()
	if again {
		return errRanBefore
	}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.broken, cancel)()
	m.stop = stop

	begin(stop)
	if err := m.beforeJoin(stop); err != nil {
		return err
	}
	if err := m.openChangelog(); err != nil {
		return err
	}
	defer m.closeChangelog()
	m.startStandby(stop)
	if err := m.connect(); err != nil {
		cancel()
		m.running.Wait()
		return err
	}
	m.running.Go(func() { m.commitLoop(stop) })
	m.running.Go(func() { m.watch(stop) })
	leased, endLease := context.WithCancel(context.WithoutCancel(ctx)) // beyond stop: what is drained is sent
	defer endLease()
	m.running.Go(func() { m.keepLease(leased) })
	m.poll(stop)
	err := m.shutdown(endLease)
	if fatal := context.Cause(m.broken); fatal != nil {
		return fatal
	}
	return err
}

// connect makes the client, which joins the group at once.
func (m *member) connect() error {
	if m.cfg.GroupProtocol == ProtocolConsumer {
		m.heartbeats = newHeartbeats(&m.lease, func() {
			m.fail(&ProtocolError{Group: m.cfg.Group, Reason: "the brokers refuse it, or the client's options do"})
		})
	}
	ctx, hangUp := context.WithCancel(context.Background())
	cl, err := kgo.NewClient(append(m.options(), kgo.WithContext(ctx))...)
	if err != nil {
		hangUp()
		return &ConfigError{Problems: []string{"client: " + err.Error()}}
	}
	m.cl, m.hangUp, m.input = cl, hangUp, &topology{cl: cl, topic: m.cfg.Input, source: true}
	m.role.joining(cl)
	close(m.connected)
	return nil
}

// poll feeds the assignments until stop ends.
func (m *member) poll(stop context.Context) {
	for stop.Err() == nil {
		m.pushBack(stop)
		fetches := m.cl.PollFetches(stop)
		bound := m.queueBound.Load()
		fetches.EachError(func(topic string, part int32, err error) { m.fetchError(stop, topic, part, err) })
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 && p.HighWatermark == 0 {
				return
			}
			if a := m.assignmentOf(p.Partition); a != nil {
				a.highWater.Store(p.HighWatermark)
				a.feed(p.Records, bound)
			}
		})
		m.cl.AllowRebalance()
	}
}

// fetchError sorts what a poll may bring: the client retries by itself what passes and tells it only for the log.
func (m *member) fetchError(stop context.Context, topic string, part int32, err error) {
	if stop.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	if fatal := m.fatalGroup(err); fatal != nil {
		m.fail(fatal)
		return
	}
	if errors.Is(err, kerr.UnreleasedInstanceID) {
		m.unreleased(err)
		return
	}
	var session *kgo.ErrGroupSession
	if errors.As(err, &session) {
		m.log.Warn("group session ended; joining again", "group", m.cfg.Group, "cause", err)
		return
	}
	var loss *kgo.ErrDataLoss
	var large *kgo.ErrDecompressTooLarge
	switch {
	case errors.As(err, &large):
		m.fail(&TopicError{Topic: topic, Err: fmt.Errorf("partition %d: %w", part, err),
			Hint: fmt.Sprintf("batches of more than %d bytes after decompression are not read: have the producer close its batches earlier (batch.size), "+
				"or move the group past this one with the usual tool, and start once with learn off", m.cfg.DecompressBytes)})
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &loss):
		m.fail(&TopicError{Topic: topic, Err: fmt.Errorf("partition %d: %w", part, err),
			Hint: "records were removed before they were read (retention, or an unclean leader election); restart to go on at what is left, and give the topic more retention"})
	case permanent(err):
		m.fail(&TopicError{Topic: topic, Err: fmt.Errorf("partition %d: %w", part, err), Hint: "check that the topic exists and noecho's user may READ it"})
	default:
		m.log.Warn("fetch", "topic", topic, "partition", part, "cause", err)
	}
}

// shutdown ends all that run has started. After a fatal error nothing is drained.
func (m *member) shutdown(endLease func()) error {
	m.mu.Lock()
	m.mu.stopping = true
	parts := make([]int32, 0, len(m.mu.assigned))
	for part := range m.mu.assigned {
		parts = append(parts, part)
	}
	m.mu.Unlock()
	err := m.release(context.Background(), parts, m.broken.Err() == nil)
	endLease()
	m.role.leaving()
	m.running.Wait()
	m.learner.close()
	if m.heartbeats != nil {
		m.leave()
		return err
	}
	// Close waits for the answer to a request to join, which the broker holds back until every other member has joined too, or its session is
	// over: for as long as a rebalance may take, with nothing left to do. A static member does not leave, the partitions wait for its return, so
	// nothing is lost by hanging up.
	defer time.AfterFunc(m.cfg.RebalanceTimeout/12, m.hangUp).Stop()
	m.cl.CloseAllowingRebalance()
	m.hangUp()
	return err
}

func (m *member) assignments() []*assignment {
	m.mu.Lock()
	defer m.mu.Unlock()
	as := make([]*assignment, 0, len(m.mu.assigned))
	for _, a := range m.mu.assigned {
		as = append(as, a)
	}
	return as
}

// assignmentOf returns the assignment of a partition, or nil.
func (m *member) assignmentOf(part int32) *assignment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.assigned[part]
}

// wakeUp leaves a token in a channel with room for one.
func wakeUp(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
