package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Learn says what a store that lacks the marks below the start takes in again from the input before the first record is
// handled.
type Learn string

const (
	// LearnHandled learns what the group has handled and the store does not know: the partition was another store's
	// meanwhile, or the store is new.
	LearnHandled Learn = "handled"
	// LearnAll also learns what lies before the first record of a group that began with StartLatest: copies of records that
	// were there before it are dropped, though nobody has handled the originals.
	LearnAll Learn = "all"
	// LearnOff learns nothing: copies of what the store does not know pass.
	LearnOff Learn = "off"
)

func (l Learn) validate() error { return oneOf("learn", l, LearnHandled, LearnAll, LearnOff) }

const learnSayEvery = 10 * time.Second // a line in the log

// unknown returns the offsets below the start of which the store may know nothing. Coverage alone does not say: it ends
// behind the last record that has a key, and what was committed lies behind the markers and records without one that follow.
//
// A start below the coverage's end (an operator's rewind) has nothing to learn: those records are replays, which store
// nothing; nor is anything learned backwards, below where the coverage starts.
func (a *assignment) unknown() span {
	_, known := a.state.Coverage()
	known = max(known, a.state.Committed())
	if a.m.cfg.Learn == LearnHandled {
		known = max(known, a.since)
	}
	return span{start: min(known, a.resume.start), end: a.resume.start}
}

// toLearn returns what of that is learned. With ScopeTopic it goes on to the last record that the output has: every partition of the
// topic must know what is done before any goes on (see topicScope). Those records are handled after it as deliveries of what was taken in.
func (a *assignment) toLearn() span {
	todo := a.unknown()
	if a.m.cfg.Learn == LearnOff {
		todo.start = todo.end
	}
	if a.m.scope != nil && a.resume.there >= todo.end {
		_, known := a.state.Coverage()
		if todo.start >= todo.end {
			todo.start = max(todo.start, known)
		}
		todo.end = a.resume.there + 1
	}
	return todo
}

// toldBefore returns pack.before at the start. Where the store was not made to know what came before, what is told from there on must
// not be taken for all that one needs.
func (a *assignment) toldBefore() int64 {
	if u := a.unknown(); u.start < u.end {
		return math.MaxInt64
	}
	return a.state.StreamTime()
}

// learn has the store take in what it is missing below the start, or, where records pass meanwhile, begins with it. Called by run, once, before it is
// ready; it must call stop before it returns.
//
// In bypass nothing is learned, and what is under way ends: the store is left alone, and the kill switch must not have to wait. On the way back it is not
// made good: see notLearned.
func (a *assignment) learn() (stop func(), err error) {
	nothing := func() {}
	if a.m.bypass.Load() {
		a.unlearned.Store(&leftOut{})
		return nothing, nil
	}
	if err := a.m.identify(a.part, a.state); err != nil { // the switch may have been on when the assignment began
		return nil, err
	}
	a.m.countMissing(a, a.unknown())
	todo := a.toLearn()
	if todo.start >= todo.end {
		return nothing, nil
	}
	if a.m.cfg.WhileRestoring == RestoringPass && max(todo.start, a.resume.input.start) < todo.end {
		return a.learnBehind(todo), nil
	}
	return nothing, a.learnStretch(a.m.stop, todo)
}

// learnStretch takes in a stretch: from the changelog, if there is one (see replay); and where that ends it reads the input and asks for
// verdicts that nobody looks at, for the marks that they leave.
func (a *assignment) learnStretch(parent context.Context, todo span) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	go a.watchLesson(ctx, cancel)
	l := &lesson{a: a, todo: todo, next: -1, checker: checker{changes: a.changes}}
	err := l.study(ctx)
	switch {
	case err == nil:
		return nil
	case parent.Err() != nil || a.isKilled():
		return errKilled
	case errors.Is(context.Cause(ctx), errBypassed) || a.m.bypass.Load(): // a store that is ill may be why the switch was thrown
		l.leaveOut()
		return nil
	}
	return err
}

// errBypassed ends a lesson: records must not wait for it when the switch is thrown, nor for a store that fails at it.
var errBypassed = errors.New("in bypass nothing is learned")

// bypassLook is the time between two looks at the switch.
const bypassLook = 20 * time.Millisecond

// watchLesson ends a lesson with its assignment, because a handle must not be used once the assignment's goroutine has returned; and in bypass. It
// ends with the lesson.
func (a *assignment) watchLesson(ctx context.Context, cancel context.CancelCauseFunc) {
	look := time.NewTicker(bypassLook)
	defer look.Stop()
	for {
		select {
		case <-a.quit:
			cancel(errKilled)
			return
		case <-ctx.Done():
			return
		case <-look.C:
			if a.m.bypass.Load() {
				cancel(errBypassed)
				return
			}
		}
	}
}

// study learns, and tries again what may pass.
func (l *lesson) study(ctx context.Context) error {
	defer l.open(false)
	if !l.enter(ctx) {
		return ctx.Err()
	}
	defer l.leave()
	a := l.a
	known, err := a.replay(ctx, l.todo)
	if err != nil {
		return err
	}
	l.todo.start = known
	if max(known, a.resume.input.start) >= l.todo.end {
		a.learning.at.Store(a.learning.target.Load())
		return nil
	}
	for try := 0; ; try++ {
		err := l.learn(ctx)
		l.open(err == nil)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrRecreated):
			return recreated(a.m.cfg.Input) // not a LearnError: to learn nothing is no remedy
		case final(err):
			return &LearnError{Topic: a.m.cfg.Input, Partition: a.part, From: l.next, To: l.todo.end, Err: err}
		case !l.passing:
			return err
		}
		a.m.warnAgain(try, "learning what the store is missing: trying again", 1, err)
		select {
		case <-time.After(restoreRetryPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leftOut is what was not learned in bypass; the zero value is all that is unknown.
type leftOut struct{ span }

// leaveOut notes that the rest is not learned. From here on the partition goes on in bypass, and is judged when the switch is taken back.
func (l *lesson) leaveOut() {
	a := l.a
	a.passing.Lock()
	defer a.passing.Unlock()
	if a.behind.Load() {
		l.follow()
	}
	rest := span{start: l.todo.start, end: l.todo.end}
	if l.next >= 0 {
		rest.start = l.next
	}
	a.m.log.Warn("in bypass: the rest of what the store is missing is not learned", "topic", a.m.cfg.Input, "partition", a.part, "from", rest.start, "to", rest.end)
	a.changes.hole(rest.end)
	a.learning.at.Store(a.learning.target.Load()) // nothing is left to do
	a.unlearned.Store(&leftOut{rest})
	if a.behind.Swap(false) {
		a.state_.CompareAndSwap(uint32(StateRestoring), uint32(StateRunning))
	}
}

// notLearned counts and says, on the way back from bypass, what was not learned because the assignment began in it. To learn it then
// would hold up records at a moment when somebody has just decided that they must flow, and it cannot be done later: the engine takes offsets
// in in ascending order. Who has the time restarts instead: then learn reads all that the store lacks, also what passed in bypass. Called by run,
// before the store is asked for the first verdict.
func (a *assignment) notLearned() {
	left := a.unlearned.Swap(nil)
	if left == nil {
		return
	}
	unknown := left.span
	if unknown == (span{}) {
		unknown = a.unknown()
		a.m.countMissing(a, unknown) // else it was, when the lesson began
	}
	if unknown.start < unknown.end && a.m.cfg.Learn != LearnOff {
		a.m.log.Warn("back from bypass without having learned what the store does not know: copies of it pass; a restart instead of the switch learns it",
			"topic", a.m.cfg.Input, "partition", a.part, "from", unknown.start, "to", unknown.end)
	}
}

// lesson is one assignment's learning. Owned by run, or by the goroutine beside it (learnBehind).
type lesson struct {
	checker
	a    *assignment
	tail *tailReader
	todo span

	next                 int64 // where to read on; -1: not known yet
	begun, said, durable time.Time
	passing              bool      // whether the last error may pass: it came from the brokers, and not from the store
	closing              bool      // the partition waits for the rest: see ahead
	turn                 bool      // it has one of the learner's
	turned, refused      time.Time // when it got that, and when closing failed
	cut                  bool      // retention was faster, and that is counted
}

// learn reads on from where it was.
func (l *lesson) learn(ctx context.Context) (err error) {
	a := l.a
	l.passing = true
	if l.tail == nil {
		if l.tail, err = a.m.learner.reader(a.m); err != nil {
			return err
		}
	}
	if l.next < 0 {
		if l.next, err = l.begin(ctx); err != nil {
			l.next = -1
			return err
		}
		l.begun, l.said, l.durable = time.Now(), time.Now(), time.Now()
	}
	for l.ahead() {
		l.passing = true
		if !l.turns(ctx) {
			return ctx.Err()
		}
		records, next, err := l.fetch(ctx)
		if err != nil {
			return err
		}
		l.passing = false
		for len(records) > 0 {
			n := min(len(records), chunkRecords)
			if err := l.takeIn(records[:n]); err != nil {
				return err
			}
			if err := l.moved(ctx, records[n-1].Offset+1); err != nil {
				return err
			}
			records = records[n:]
		}
		if err := l.moved(ctx, next); err != nil {
			return err
		}
	}
	if err := l.commit(ctx, l.todo.end); err != nil {
		return err
	}
	a.m.log.Info("learned", "topic", a.m.cfg.Input, "partition", a.part, "to", l.todo.end,
		"records", a.learning.records.Load(), "took", time.Since(l.begun).Round(time.Millisecond))
	return nil
}

// fetch reads on. While the partition waits it does not wait for brokers that do not answer.
func (l *lesson) fetch(ctx context.Context) ([]*kgo.Record, int64, error) {
	if l.closing {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closingPatience)
		defer cancel()
	}
	records, next, err := l.tail.fetch(ctx, l.a.part, l.next)
	if err == nil && len(records) == 0 {
		l.removed(ctx, next)
	}
	return records, next, err
}

// removed looks whether the log begins later by now than where we were: then retention was faster.
func (l *lesson) removed(ctx context.Context, next int64) {
	a := l.a
	log := listSpans(ctx, l.tail.cl, l.tail.top, []int32{a.part})[a.part]
	if log.err != nil || log.start <= l.next {
		return
	}
	if !l.cut {
		l.cut = true
		a.m.missing.retention.Add(1)
	}
	a.m.log.Warn("retention removes records while they are learned: copies of these pass", "topic", a.m.cfg.Input, "partition", a.part, "from", l.next, "to", min(next, log.start))
}

// begin finds where to begin: as far back as the window needs, and no further back than LearnFrom allows.
func (l *lesson) begin(ctx context.Context) (int64, error) {
	a := l.a
	log := listSpans(ctx, l.tail.cl, l.tail.top, []int32{a.part})[a.part]
	if log.err != nil {
		return 0, log.err
	}
	if l.tail.top.differs(a.m.input.topicID()) {
		return 0, recreated(a.m.cfg.Input) // since the assignment began
	}
	there := span{start: max(l.todo.start, log.start), end: l.todo.end}
	window, at, err := l.tail.windowStart(ctx, a.part, there, a.m.oldestNeeded)
	if err != nil {
		return 0, err
	}
	bound, end := &a.m.learnFrom, min(there.end, a.resume.start)
	allowed, before, err := bound.lookFor(ctx, l.tail, a.part, end, at)
	if err != nil {
		return 0, err
	}
	allowed = min(allowed, end) // with ScopeTopic the stretch goes on behind the start, and of that nothing may be left out: see toLearn
	from, why := window, LearnReasonWindow
	switch {
	case allowed > window:
		from, why = allowed, LearnReasonBound
	case bound.earliest || window == there.start:
		if from, why = there.start, LearnReasonStore; l.todo.start < log.start {
			why = LearnReasonLog
		}
	}
	if why == LearnReasonBound {
		a.m.missing.bounded.Add(1)
		a.m.log.Warn("learn_from leaves out records of the window that the store does not know: copies of these pass", "topic", a.m.cfg.Input,
			"partition", a.part, "learn_from", string(bound.text), "from", window, "to", from)
	} else if before = a.state.StreamTime(); window == log.start && l.todo.start < log.start {
		l.cut = true
		a.m.missing.retention.Add(1)
		a.m.log.Warn("retention may have removed records of the window that the store does not know: copies of these pass",
			"topic", a.m.cfg.Input, "partition", a.part, "store", l.todo.start, "log", log.start)
	}
	a.changes.begin(from, before)
	a.learning.begin(from, l.todo.end, why)
	a.m.log.Info("the store does not know what came before: learning it from the input",
		"topic", a.m.cfg.Input, "partition", a.part, "from", from, "to", l.todo.end, "begins_by", string(why))
	return from, nil
}

// moved notes that all below next is learned. Now and then it makes that durable, so that a process that is killed learns no more
// than a commit interval again, and says how far it is.
func (l *lesson) moved(ctx context.Context, next int64) error {
	a, now := l.a, time.Now()
	l.next = min(next, l.todo.end)
	a.learning.at.Store(l.next)
	if now.Sub(l.said) >= learnSayEvery {
		l.said = now
		a.m.log.Info("learning", "topic", a.m.cfg.Input, "partition", a.part, "at", l.next, "to", l.todo.end, "records", a.learning.records.Load())
	}
	if now.Sub(l.durable) < a.m.cfg.CommitInterval {
		return ctx.Err()
	}
	l.durable = now
	return l.commit(ctx, l.next)
}

// commit makes durable what was learned, and has the changelog take it: so it is whole again, for the next who needs it.
func (l *lesson) commit(ctx context.Context, next int64) error {
	l.passing = false
	err := l.a.commitLearned(ctx, next, true)
	l.passing = errors.Is(err, errChangelog)
	return err
}

// takeIn gives the engine a chunk's records below the end. A record without a key leaves no mark, whatever OnMissingKey
// says: it was handled before, or passed over by an operator.
func (l *lesson) takeIn(chunk []*kgo.Record) error {
	a, n := l.a, 0
	for n < len(chunk) && chunk[n].Offset < l.todo.end {
		n++
	}
	if err := l.extract(a.m.cfg.Key, MissingPass, chunk[:n]); err != nil {
		return err
	}
	if err := l.ask(a.state); err != nil {
		return fmt.Errorf("kafka: %s/%d: learning: %w", a.m.cfg.Input, a.part, err)
	}
	a.learning.records.Add(uint64(len(l.recs)))
	a.m.learner.records.Add(uint64(len(l.recs)))
	clear(l.recs)
	return nil
}

// commitLearned commits to the engine that all below next is known, and done. What lies above what is done is made durable by that, too: its
// duplicates may still have to go to their topic. tell says that the changelog does not have it yet. Under commitMu, as every commit: the probe uses the handle, too.
func (a *assignment) commitLearned(ctx context.Context, next int64, tell bool) error {
	a.m.commitMu.Lock()
	defer a.m.commitMu.Unlock()
	if tell {
		if err := a.tellChanges(ctx, next); err != nil {
			return err
		}
	}
	a.mu.Lock()
	done := a.task.nextLocked()
	a.mu.Unlock()
	if err := a.state.Commit(ctx, min(next, done)); err != nil {
		return fmt.Errorf("kafka: %s/%d: commit of what was learned below %d: %w", a.m.cfg.Input, a.part, next, err)
	}
	return nil
}

// oldestNeeded returns from which stream time on marks can be visible to a record that is taken in when the stream time is
// at: the beginning of the bucket that is the oldest one then (docs/semantics.md, step 3).
func (m *member) oldestNeeded(at int64) int64 {
	window, buckets := m.store.Window()
	delta := window.Milliseconds() / int64(buckets)
	return max(0, (at/delta-int64(buckets))*delta)
}
