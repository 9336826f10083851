package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// WhileRestoring says what becomes of records while a partition learns what its store is missing.
type WhileRestoring string

const (
	// RestoringBlock: they wait. No copy passes.
	RestoringBlock WhileRestoring = "block"
	// RestoringPass: they pass without a verdict until the store knows all that was handled, copies among them. What passed is
	// learned with the rest, so its own copies do not pass afterwards.
	RestoringPass WhileRestoring = "pass"
)

func (w WhileRestoring) validate() error {
	return oneOf("while_restoring", w, RestoringBlock, RestoringPass)
}

// problems are what it does not go together with.
func (w WhileRestoring) problems(c *memberConfig) (problems []string) {
	if err := w.validate(); err != nil {
		return []string{err.Error()}
	}
	if w == RestoringBlock {
		return nil
	}
	for _, at := range []struct {
		with bool
		what string
	}{
		{c.Learn == LearnOff, "learn off: nothing is learned, so that nothing waits"},
		{c.ChangelogTopic != "", "a changelog: what passes would be a hole in it; to restore from it takes a fraction of the time that learning takes"},
		{c.Scope == ScopeTopic, "scope topic: no partition may go on before all know what is done"},
		{c.Transactional, "fencing transactional: offsets would be ahead of the marks that a restart relies on"},
	} {
		if at.with {
			problems = append(problems, "while_restoring pass does not go together with "+at.what)
		}
	}
	return problems
}

// Passing on: with RestoringPass records do not wait until the store has learned what it is missing (see learn).
//
// The naive way is bypass until then: what passes leaves no mark, ever, because the engine takes in offsets in ascending order, and its
// coverage would be ahead of what it has. So the store takes nothing in but what the lesson reads, which is the past and then also what passed meanwhile:
// it runs after the partition, faster than that, and where it is next to it, the partition waits for the rest, some
// milliseconds. From there on records are judged, by a store that knows all below.
//
//	input   ──────┬───────────────────┬────────────────┬──────────┬──>
//	              │ missing           │ passed         │ the rest │ judged
//	              window's beginning  start            closing    handled
//	lesson        ├──────────────────────────────────────────────>│
//	partition                         ├───────────────>│ (waits)  ├──>
//
// Offsets are committed as ever, so Kafka's are ahead of the marks meanwhile; the engine's commits go as far as was learned. After a crash
// the store therefore lacks what the group has handled, and learns it.

const (
	// The lesson has the partition wait for it when there are no more offsets left than these, or than it takes in in that time.
	closingGap  = 4 * chunkRecords
	closingTime = 50 * time.Millisecond

	closingPatience = time.Second     // with brokers that do not answer while the partition waits
	closingPause    = 5 * time.Second // until it is tried again

	// longTurn is how long a lesson keeps its turn while records pass: it may never end.
	longTurn = 5 * time.Second
)

// learnBehind begins to learn a stretch beside run, which passes records on until that is done. stop ends it, and waits for it; run must
// call it before it returns.
func (a *assignment) learnBehind(todo span) (stop func()) {
	a.behind.Store(true)
	a.m.log.Warn("records pass without a verdict until the store has learned what it is missing (while_restoring: pass)", "topic", a.m.cfg.Input,
		"partition", a.part, "start", a.resume.start)
	ctx, cancel := context.WithCancel(a.m.stop)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.learnStretch(ctx, todo); err != nil {
			a.failed(err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// take does with a chunk what is due. Called by run.
func (a *assignment) take(chunk []*kgo.Record) error {
	if a.behind.Load() {
		if passed, err := a.passOn(chunk); passed {
			return err
		}
	}
	return a.task.handle(chunk)
}

// passOn passes a chunk on, unless the store has caught up.
func (a *assignment) passOn(chunk []*kgo.Record) (passed bool, err error) {
	a.passing.Lock()
	defer a.passing.Unlock()
	if !a.behind.Load() {
		return false, nil
	}
	return true, a.task.pass(chunk)
}

// ahead says whether the lesson has to read on. Where records pass meanwhile, its end moves along with them; and when it is near, they wait: from
// then on l.closing is set, and the caller must call open.
func (l *lesson) ahead() bool {
	if l.a.behind.Load() {
		l.follow()
		if !l.closing && l.near() {
			l.leave() // the rest is little, and a handler may take its time
			l.a.passing.Lock()
			l.closing = true
			l.follow()
		}
	}
	return l.next < l.todo.end
}

// near says whether the partition shall wait for the rest.
func (l *lesson) near() bool {
	left := l.todo.end - l.next
	if left > 0 && time.Since(l.refused) < closingPause {
		return false
	}
	learned, took := float64(l.a.learning.records.Load()), time.Since(l.begun)
	return left <= max(closingGap, int64(learned*float64(closingTime)/float64(took)))
}

// turns sees to it that the lesson has a turn, if it needs one, and lets others have it now and then.
func (l *lesson) turns(ctx context.Context) bool {
	if l.closing {
		return true
	}
	if l.turn && l.a.behind.Load() && time.Since(l.turned) > longTurn {
		l.leave()
	}
	return l.enter(ctx)
}

func (l *lesson) enter(ctx context.Context) bool {
	if !l.turn {
		l.turn, l.turned = l.a.m.learner.enter(ctx), time.Now()
	}
	return l.turn
}

func (l *lesson) leave() {
	if l.turn {
		l.turn = false
		l.a.m.learner.leave()
	}
}

// follow moves the lesson's end to where the partition is.
func (l *lesson) follow() {
	l.a.mu.Lock()
	l.todo.end = max(l.todo.end, l.a.handled)
	l.a.mu.Unlock()
	l.a.learning.target.Store(l.todo.end)
}

// open lets the partition go on after ahead had it wait: judging, where all is known, else passing on.
func (l *lesson) open(known bool) {
	if !l.closing {
		return
	}
	l.closing = false
	if !known {
		l.refused = time.Now()
	} else {
		l.a.behind.Store(false)
		l.a.state_.CompareAndSwap(uint32(StateRestoring), uint32(StateRunning))
		l.a.m.log.Info("records are judged from here on", "topic", l.a.m.cfg.Input, "partition", l.a.part, "offset", l.todo.end)
	}
	l.a.passing.Unlock()
}
