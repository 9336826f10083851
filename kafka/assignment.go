package kafka

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	chunkRecords = 1024      // decided together, so that the engine can look several keys up at a time,
	chunkBytes   = 128 << 10 // but no more than stay in the cache from the key to the output's batch
)

// assignment is one partition from the time it is assigned until it goes. Its goroutine takes records from the queue and
// has its task handle them.
type assignment struct {
	// Immutable after assigned.
	m       *member
	part    int32
	state   partition
	task    task
	wake    chan struct{} // cap 1: records, something of the task's that was under way is done, or drain
	claimed chan struct{} // closed when resume is known, and claimed where that is due
	ready   chan struct{} // closed by run when it has learned what the store was missing, or records pass meanwhile
	quit    chan struct{} // closed by kill
	done    chan struct{} // closed when run has returned

	// Written by the callbacks and the restore, one after the other, before claimed is closed; then immutable.
	group  committedOffset
	plan   plan
	resume resume
	since  int64 // see metadata.since

	learning  learning
	unlearned atomic.Pointer[leftOut] // learning was left out, or ended, in bypass; nil: it was not

	// behind: records pass on, and the store knows less than was handled. Raised by run, before it is ready; lowered by the lesson, with passing held.
	behind  atomic.Bool
	passing sync.Mutex // held by run while it passes a chunk on, and by the lesson while it learns the rest. Before mu

	last position // protected by member.commitMu: what Kafka last acknowledged; next -1: nothing yet

	checker // owned by run

	state_    atomic.Uint32 // State
	full      atomic.Uint32 // fullness: the poll loop raises it, run lowers it, both under mu
	highWater atomic.Int64  // of the input, as of the last fetch; -1: not known
	committed atomic.Int64  // acknowledged by Kafka; -1: none. Written under member.commitMu

	mu       sync.Mutex
	queue    queue // protected by mu
	handled  int64 // protected by mu, moved by the task: below it every record is done, or in the task's hands
	draining bool  // protected by mu
	drained  bool  // protected by mu: run has returned with nothing left under way
	killed   bool  // protected by mu: quit is closed
}

// task is what becomes of the records of an assignment.
type task interface {
	// handle does with the records of a chunk what their verdicts (see check) ask for. They are the queue's next, in
	// order. After errKilled nothing is said; any other error stops the member. Called by run.
	handle(chunk []*kgo.Record) error
	// pass does with the records of a chunk what is done with an original, without a verdict: see WhileRestoring. As handle else.
	pass(chunk []*kgo.Record) error
	// flush sends on its way what leftLocked says is unsent. Called by run, when there is nothing else to do.
	flush() error
	// leftLocked says whether something is under way that wake will be told of, and whether something is not sent yet.
	// Called with the assignment's mu held.
	leftLocked() (underway, unsent bool)
	// position returns what may be committed now.
	position() position
	// nextLocked returns position's offset. Called with the assignment's mu held.
	nextLocked() int64
	// doneLocked returns the offset below which every original is done, whatever else keeps it from being committed. Called with
	// the assignment's mu held.
	doneLocked() int64
	// abandon ends what is under way: nothing more is sent or handled. Called by kill, once or several times, from any goroutine.
	abandon()
}

// position is a point up to which all is done, and the metadata that goes with it.
type position struct {
	next   int64
	meta   metadata
	behind bool // the store does not know all of it: the lesson commits marks, as far as it is
}

func (m *member) newAssignment(part int32, state partition) *assignment {
	a := &assignment{
		m: m, part: part, state: state, last: position{next: -1},
		wake: make(chan struct{}, 1), claimed: make(chan struct{}), ready: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	a.highWater.Store(-1)
	a.committed.Store(-1)
	if m.changelog.Load() != nil {
		a.changes = newChanges(m.hurry)
	}
	a.task = m.role.newTask(a)
	return a
}

// stand returns what may be committed now: the task's word, and what every commit of the partition carries on.
func (a *assignment) stand() position {
	pos := a.task.position()
	pos.meta.since, pos.meta.topic = a.since, a.m.input.topicID()
	return pos
}

// restored says whether the assignment may run: resume is known and claimed, and the store knows what came before.
func (a *assignment) restored() bool {
	select {
	case <-a.ready:
		return true
	default:
		return false
	}
}

func (a *assignment) isDrained() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drained
}

// doneBelow returns the offset below which every original is done.
func (a *assignment) doneBelow() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.task.doneLocked()
}

func (a *assignment) isKilled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.killed
}

// gauges of an assignment: see PartitionStats.
type gauges struct {
	state                                     State
	paused                                    bool
	queued, queuedBytes, next, committed, lag int64
}

func (a *assignment) gauges() gauges {
	g := gauges{
		state: State(a.state_.Load()), paused: a.full.Load() == paused,
		queued: a.queue.records.Load(), queuedBytes: a.queue.bytes.Load(), committed: a.committed.Load(), lag: -1,
	}
	a.mu.Lock()
	g.next = a.task.nextLocked()
	a.mu.Unlock()
	if high := a.highWater.Load(); high >= 0 {
		g.lag = max(0, high-g.next)
	}
	return g
}

// feed hands over what one fetch brought. Called by the poll loop.
func (a *assignment) feed(records []*kgo.Record, bound int64) {
	a.mu.Lock()
	if !a.draining && !a.killed {
		a.queue.push(records)
		if a.queue.bytes.Load() >= enough(bound) && a.full.Load() == notFull {
			a.full.Store(crowded)
		}
	}
	a.mu.Unlock()
	a.signal()
}

func (a *assignment) signal() { wakeUp(a.wake) }

// drain asks run to leave the queue, finish what is under way, and return.
func (a *assignment) drain() {
	a.mu.Lock()
	a.draining = true
	a.queue.drop()
	a.mu.Unlock()
	a.state_.Store(uint32(StateDraining))
	a.signal()
}

// kill stops run where it is; nothing more is sent.
func (a *assignment) kill() {
	a.task.abandon()
	a.mu.Lock()
	if !a.killed {
		a.killed = true
		close(a.quit)
	}
	a.mu.Unlock()
}

// run is the assignment's goroutine.
func (a *assignment) run() {
	defer close(a.done)
	select {
	case <-a.quit:
		return
	case <-a.claimed:
	}
	stop, err := a.learn()
	if err != nil {
		a.failed(err)
		return
	}
	defer stop()
	if err := a.m.scope.gather(a); err != nil {
		a.failed(err)
		return
	}
	a.changes.begin(a.resume.start, a.toldBefore())
	if !a.behind.Load() {
		a.state_.CompareAndSwap(uint32(StateRestoring), uint32(StateRunning)) // else it drains
	}
	close(a.ready)
	for {
		select {
		case <-a.quit:
			return
		default:
		}
		chunk, unsent, finished := a.next()
		if finished {
			return
		}
		if len(chunk) > 0 || unsent {
			var err error
			if len(chunk) > 0 {
				err = a.take(chunk)
			} else {
				err = a.task.flush() // nothing to wait for: send what there is
			}
			if err != nil {
				a.failed(err)
				return
			}
			continue
		}
		select {
		case <-a.wake:
		case <-a.quit:
			return
		}
	}
}

// errKilled ends run without a word: whoever killed the assignment, or drains it, knows. What handle was given is not done.
var errKilled = errors.New("killed")

func (a *assignment) failed(err error) {
	if !errors.Is(err, errKilled) {
		a.m.fail(err)
	}
}

// next takes the next chunk. unsent: if there is none, there is nothing to wait for either, and something to send.
// finished: drained.
func (a *assignment) next() (chunk []*kgo.Record, unsent, finished bool) {
	a.mu.Lock()
	chunk = a.queue.take(a.m.cfg.ChunkRecords, a.m.cfg.ChunkBytes)
	was := a.full.Load()
	relief := len(chunk) == 0 || was != notFull && a.queue.bytes.Load() <= enough(a.m.queueBound.Load())/2
	if relief {
		a.full.Store(notFull)
	}
	underway, unsent := a.task.leftLocked()
	finished = a.draining && !underway && len(chunk) == 0 && !unsent
	unsent = unsent && (a.draining || !underway)
	a.drained = finished
	a.mu.Unlock()
	if relief {
		a.m.relieved(a, was)
	}
	return chunk, unsent, finished
}

// check decides a chunk: see checker.
func (a *assignment) check(chunk []*kgo.Record) error {
	if !a.room() {
		return errKilled
	}
	return a.checker.check(a.m.cfg.Key, a.m.cfg.OnMissingKey, a.state, chunk)
}
