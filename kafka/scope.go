package kafka

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"noecho/engine"
)

// Scope says among which records a copy is looked for.
type Scope string

const (
	// ScopePartition: among those of its partition. Copies of a message must come to the same partition.
	ScopePartition Scope = "partition"
	// ScopeTopic: among those of the topic, for producers without a key, whose retries go to any partition. One member must
	// have all partitions; another one in the group is refused with a *ScopeError.
	ScopeTopic Scope = "topic"
)

func (s Scope) validate() error { return oneOf("scope", s, ScopePartition, ScopeTopic) }

// open returns the store of a topic in that scope.
func (s Scope) open(e *engine.Engine, topic string) engineStore {
	if s == ScopeTopic {
		return engineStore{Engine: e, shared: e.Topic(topic)}
	}
	return engineStore{Engine: e}
}

// topicScope keeps the two promises that engine.Topic asks for. A nil one is of ScopePartition, and does nothing.
//
//   - No partition runs before every partition of the topic has taken in what is done: gather. Else what runs first takes for
//     an original the copy of a record that another partition has handled, and has yet to learn.
//   - No partition goes past a copy before its original is done: see assignment.afterOriginal.
type topicScope struct {
	mu      sync.Mutex
	taught  map[int32]*assignment // have learned; protected by mu
	changed chan struct{}         // closed, and replaced, when taught changes; protected by mu
}

func newTopicScope(s Scope) *topicScope {
	if s != ScopeTopic {
		return nil
	}
	return &topicScope{taught: make(map[int32]*assignment), changed: make(chan struct{})}
}

// gatherLook is the time between two looks at what no channel tells: the topic has another number of partitions, or bypass was set.
const gatherLook = time.Second

// gather returns when all partitions of the topic have come to it. Called by an assignment's run when it has learned.
func (s *topicScope) gather(a *assignment) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.taught[a.part] = a
	s.changedLocked()
	s.mu.Unlock()
	tick := time.NewTicker(gatherLook)
	defer tick.Stop()
	for said := time.Now(); ; {
		s.mu.Lock()
		here, changed := len(s.taught), s.changed
		s.mu.Unlock()
		all := int(a.m.input.count())
		if all > 0 && here >= all || a.m.bypass.Load() {
			return nil
		}
		if time.Since(said) >= learnSayEvery {
			said = time.Now()
			a.m.log.Info("scope topic: waiting for the other partitions", "topic", a.m.cfg.Input, "partition", a.part, "here", here, "all", all)
			// Who had lost its session meanwhile gives up nothing, and need not lead: it just does not get the others back.
			if err := a.m.checkAlone(a.m.stop, kadm.NewClient(a.m.cl)); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-a.quit:
			return errKilled
		}
	}
}

// leave forgets an assignment that is gone.
func (s *topicScope) leave(a *assignment) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taught[a.part] == a {
		delete(s.taught, a.part)
		s.changedLocked()
	}
}

func (s *topicScope) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// originalPause is the time between two looks at another partition. Who waits there does so for a batch to be acknowledged, or
// handled; to be woken by every one of them would cost all partitions something, always, for what is rare.
const originalPause = time.Millisecond

// afterOriginal returns when the record that one of this partition's is a copy of is done. The naive way, to drop the copy and go
// on, loses a message: the copy is done then, the original is not, and a crash that takes the marks away lets the copy be taken in first. The
// original comes again, and is dropped as a copy of a record that nobody has handled. See docs/decisions/0018.
//
// What lies before the copy must be on its way: somebody may be waiting for that. Then nobody waits in a circle, because an
// original was always taken in before its copy. Called by run.
func (a *assignment) afterOriginal(v engine.Verdict) error {
	for a.m.underway(v) {
		if a.m.bypass.Load() {
			return nil
		}
		if err := a.task.flush(); err != nil {
			return err
		}
		if a.stranded(v) {
			return errKilled
		}
		select {
		case <-a.quit:
			return errKilled
		case <-time.After(originalPause):
		}
	}
	return nil
}

// underway says whether the original of a copy elsewhere is not done yet.
func (m *member) underway(v engine.Verdict) bool {
	a := m.assignmentOf(v.Partition)
	if a == nil || !a.restored() {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// What the output had at the start, or the store had committed, is done, also where this life has yet to come by: an operator's
	// rewind of one partition does not hold up the others.
	return v.First >= a.task.doneLocked() && v.First > a.resume.there && v.First >= a.resume.state
}

// stranded says whether a copy waits for what this run will not bring: this partition is being drained, and its original's has
// returned without having come to it.
func (a *assignment) stranded(v engine.Verdict) bool {
	a.mu.Lock()
	draining := a.draining
	a.mu.Unlock()
	if !draining {
		return false
	}
	original := a.m.assignmentOf(v.Partition)
	if original == nil {
		return true
	}
	select {
	case <-original.done:
		return a.m.underway(v)
	default:
		return false
	}
}
