package kafka

import (
	"context"
	"errors"
	"time"
)

// errPartitionsKept: partitions are given up, what was written of them cannot be committed, and the same transaction holds
// what was written of others.
var errPartitionsKept = errors.New("partitions went before what was written of them could be committed, and others stay")

// commitAll is member.commitAll with transactions: it commits what all partitions have done and written, whichever are
// asked about. A failure before the end leaves the transaction open, and the next commit makes good; but with stopped there
// is none. Called with commitMu held.
func (t *transaction) commitAll(ctx context.Context, leaving []*assignment, stopped bool) error {
	for {
		done, err := t.try(ctx, stopped)
		if err != nil || done || !stopped {
			return err
		}
		if !t.hopeless(stopped) {
			select {
			case <-time.After(transactionPause):
			case <-ctx.Done():
			}
			if ctx.Err() == nil {
				continue
			}
		}
		return t.giveUp(context.WithoutCancel(ctx), leaving)
	}
}

// hopeless says that the transaction will not be committed: it holds, or may, what no offset goes with.
func (t *transaction) hopeless(stopped bool) bool {
	if t.spoiled.Load() {
		return true
	}
	for _, a := range t.r.assignments() {
		if a.restored() && a.isKilled() && (!stopped || !a.isDrained()) {
			return true
		}
	}
	return false
}

// try commits once. done: all that the transaction held is visible now.
func (t *transaction) try(ctx context.Context, stopped bool) (done bool, err error) {
	m := &t.r.member
	if t.hopeless(stopped) {
		return false, nil // whoever has killed an assignment gives it up next
	}
	defer t.openGates()
	if !t.closeGates(ctx) {
		if m.broken.Err() == nil && m.stop.Err() == nil {
			m.log.Warn("what was sent is not acknowledged in time; the next commit makes good", "topic", m.cfg.Input)
		}
		return false, nil
	}
	if t.hopeless(stopped) {
		return false, nil
	}
	as := m.assignments()
	at := make(map[int32]position, len(as))
	var todo []*assignment
	for _, a := range as {
		if !a.restored() {
			continue
		}
		if pos := a.stand(); pos != a.last {
			at[a.part] = pos
			todo = append(todo, a)
		}
	}
	open := t.isOpen()
	if len(todo) == 0 && !open {
		if stopped {
			return true, nil
		}
		return true, m.probe(ctx, as)
	}
	if err := m.commitMarks(ctx, todo, at); err != nil || ctx.Err() != nil {
		return false, err
	}
	if !open { // nothing was written: the offsets are all there is
		return true, m.commitOffsets(ctx, todo, at, stopped)
	}
	return t.commit(ctx, todo, at)
}

// commit commits the offsets with the transaction.
func (t *transaction) commit(ctx context.Context, todo []*assignment, at map[int32]position) (done bool, err error) {
	m := &t.r.member
	m.commits.Add(1)
	if len(todo) > 0 {
		answers, err := t.addOffsets(ctx, at)
		for _, a := range todo {
			if answer := answerFor(a.part, answers, err); answer != nil {
				return false, t.refusedOffset(ctx, a, at[a.part].next, answer)
			}
		}
	}
	// From here on a rebalance, or a stop, no longer counts: Kafka took the offsets when the partitions were ours.
	ctx, cancel := context.WithTimeout(m.broken, t.timeout())
	defer cancel()
	if err := t.end(ctx, true); err != nil {
		return false, err
	}
	for _, a := range todo {
		a.acknowledged(at[a.part])
	}
	return true, nil
}

// refusedOffset returns the error to stop with where an offset could not be added for a reason that does not pass, else nil. A
// generation that is over passes: either the client hears of the next one, or the partitions are lost.
func (t *transaction) refusedOffset(ctx context.Context, a *assignment, offset int64, err error) error {
	m := &t.r.member
	m.commitFailures.Add(1)
	if fatal := m.fatalGroup(err); fatal != nil {
		return fatal
	}
	transaction := (*TransactionError)(nil)
	if ctx.Err() == nil && errors.As(err, &transaction) || isFenced(err) {
		return newTransactionError(t.id, err)
	}
	m.log.Warn("offset commit failed; the next one makes good", "topic", m.cfg.Input, "partition", a.part, "offset", offset, "cause", err)
	return nil
}

// giveUp ends a transaction that cannot be committed because of partitions that go. Where all go it is aborted, and what comes
// next begins anew, with another epoch: what is still on its way is refused. Where the member stops, the next life, or the
// coordinator in time, does that. Where some stay, they would have to forget what they have handled: a restart does that.
// Called with commitMu held.
func (t *transaction) giveUp(ctx context.Context, leaving []*assignment) error {
	m := &t.r.member
	if !t.isOpen() && !t.spoiled.Load() {
		return nil
	}
	m.mu.Lock()
	stopping, kept := m.mu.stopping, len(m.mu.assigned) > len(leaving)
	m.mu.Unlock()
	if stopping {
		m.log.Warn("stopped with a transaction open: the next start aborts it, and does that work again", "transactional_id", t.id)
		return nil
	}
	if kept {
		return newTransactionError(t.id, errPartitionsKept)
	}
	m.log.Warn("transaction aborted: its partitions are gone", "transactional_id", t.id)
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RebalanceTimeout/4)
	defer cancel()
	defer context.AfterFunc(m.stop, cancel)()
	defer t.openGates()
	if !t.closeGates(ctx) {
		return t.unlessStopping(newTransactionError(t.id, errUnderway))
	}
	if err := t.end(ctx, false); err != nil && !nothingOpen(err) {
		return t.unlessStopping(err)
	}
	return t.unlessStopping(t.init(ctx))
}

// unlessStopping: what a stop has cut short is the next life's.
func (t *transaction) unlessStopping(err error) error {
	if t.r.stop.Err() != nil {
		return nil
	}
	return err
}

// closeGates returns when nothing is under way, and nothing more is sent; or false.
func (t *transaction) closeGates(ctx context.Context) bool {
	for _, p := range t.producers() {
		p.closeGate()
	}
	for _, p := range t.producers() {
		if !p.quiet(ctx) {
			return false
		}
	}
	return true
}

func (t *transaction) openGates() {
	for _, p := range t.producers() {
		p.openGate()
	}
}

func (t *transaction) producers() []*producer {
	if t.r.duplicates == nil {
		return []*producer{t.r.producer}
	}
	return []*producer{t.r.producer, t.r.duplicates}
}
