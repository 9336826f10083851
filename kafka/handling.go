package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// Batch is what a handler is given: records of one partition that passed, in offset order, one at least.
type Batch struct {
	Topic     string
	Partition int32
	// Records that passed. The slice is valid until the handler returns; the records are the handler's to keep, unless
	// ConsumerConfig.Recycle is set.
	Records []*kgo.Record
	// Attempt is 1 at the first call, and counts up as what failed is tried again.
	Attempt int

	again []bool // parallel to Records
}

// Redelivered says whether Records[i] may have been handled before this member was given the partition. False is certain, true is not:
//
//   - It is true for what the store had taken in before: in an operator's rewind, after a crash that left the mark.
//   - A crash also takes away the marks since the last commit, and then nothing tells how far the handler had come. So where whoever had
//     the partition before did not stop cleanly, or an operator has set the offset, it is true for all that the topic held
//     when the partition was assigned: with a backlog, for all of that.
//
// What it does not see: a message that was handled as another record, of which it is a copy; and a past of which both the group's offsets
// and the store are gone. For what is tried again in this life see Attempt.
func (b *Batch) Redelivered(i int) bool { return b.again[i] }

// handling hands the records of one assigned partition to the handler: the consumer's task.
type handling struct {
	*assignment

	// Immutable after newTask.
	c      *Consumer
	ctx    context.Context // the handler's; ended by abandon
	cancel context.CancelFunc

	// Owned by run. passed, again and causes are parallel.
	passed []*kgo.Record // to be handled now
	again  []bool        // which of them may have been handled before: see Batch.Redelivered
	causes []error       // why each failed; as long as passed after a failure only
	orphan map[string]int64
	// orphan holds the keys that were given up and have no new owner yet, with the offset from which on a copy may become it:
	// see giveUp. At most maxOrphans.

	count handlingCounters

	held int64 // protected by mu: the record that was given up first of those whose keys are in orphan; -1: none
}

// leftLocked implements task: handle leaves nothing behind.
func (h *handling) leftLocked() (underway, unsent bool) { return false, false }

// flush implements task; there is nothing to flush.
func (h *handling) flush() error { return nil }

// abandon implements task.
func (h *handling) abandon() { h.cancel() }

// position implements task.
func (h *handling) position() position {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.nextLocked()
	return position{next: next, meta: metadata{at: next, rewound: next < h.resume.state}}
}

// nextLocked implements task: below it every record was handled, dropped or given up, and every key that was given up is
// durably free.
func (h *handling) nextLocked() int64 {
	if h.held >= 0 {
		return h.held
	}
	return h.handled
}

// doneLocked implements task: below it every record was handled, dropped or given up.
func (h *handling) doneLocked() int64 { return h.handled }

// handle implements task.
func (h *handling) handle(chunk []*kgo.Record) error {
	if err := h.check(chunk); err != nil {
		return err
	}
	if h.m.scope != nil {
		return h.workInStretches(chunk)
	}
	return h.work(chunk)
}

// work does with the records of a chunk, or of a stretch of one, what their verdicts ask for.
func (h *handling) work(chunk []*kgo.Record) error {
	h.collect(chunk)
	for len(h.passed) > 0 {
		if err := h.deliver(); err != nil {
			return err
		}
		if len(h.passed) == 0 {
			break // all done; else these were given up on
		}
		if err := h.giveUp(chunk); err != nil {
			return err
		}
		h.inherit(chunk)
	}
	if err := h.settle(chunk[len(chunk)-1].Offset + 1); err != nil {
		return err
	}
	h.worked(chunk)
	return nil
}

// pass implements task. The handler has to do it all, in the end: a key that is given up is taken out of the store, which learns only now that
// it is there, so OnErrorStop is asked for.
func (h *handling) pass(chunk []*kgo.Record) error {
	h.passed, h.again = h.passed[:0], h.again[:0]
	doubt := h.doubtful()
	for _, r := range chunk {
		if !r.Attrs.IsControl() {
			h.passed, h.again = append(h.passed, r), append(h.again, r.Offset < doubt)
		}
	}
	h.count.unjudged.Add(uint64(len(h.passed)))
	if len(h.passed) > 0 {
		if err := h.deliver(); err != nil {
			return err
		}
	}
	h.worked(chunk)
	return nil
}

// worked notes that a chunk is done, and gives its memory back.
func (h *handling) worked(chunk []*kgo.Record) {
	next := chunk[len(chunk)-1].Offset + 1
	h.mu.Lock()
	h.handled = max(h.handled, next)
	if len(h.orphan) == 0 {
		h.held = -1
	}
	h.mu.Unlock()
	clear(h.recs) // keys hold on to what was fetched
	clear(h.passed[:cap(h.passed)])
	if h.c.cfg.Recycle {
		for _, r := range chunk {
			r.Recycle()
		}
	}
}

// collect gathers in passed what the verdicts let through.
func (h *handling) collect(chunk []*kgo.Record) {
	h.passed, h.again = h.passed[:0], h.again[:0]
	doubt := h.doubtful()
	var t verdictCount
	v := 0
	for i, r := range chunk {
		if r.Attrs.IsControl() {
			continue
		}
		if !h.keyed[i] {
			if h.m.cfg.OnMissingKey == MissingDrop {
				t.noKey++
				continue
			}
			t.bypassed++
			h.passed, h.again = append(h.passed, r), append(h.again, r.Offset < doubt)
			continue
		}
		kind := h.verdicts[v].Kind
		if len(h.orphan) > 0 && h.adopts(h.recs[v].Key, r.Offset) && kind == engine.Duplicate {
			kind = engine.Redelivery // the record that it is a copy of was given up
		}
		v++
		switch kind {
		case engine.Duplicate:
			t.duplicate++
			continue
		case engine.Redelivery:
			t.redelivery++
		default:
			t.unique++
		}
		h.passed, h.again = append(h.passed, r), append(h.again, kind == engine.Redelivery || r.Offset < doubt)
	}
	h.count.verdicts(&t)
}

// doubtful returns the offset below which a former life may have called its handler without a mark that says so. It cannot have seen
// more than the log held when this one began.
func (h *handling) doubtful() int64 {
	if h.plan.clean {
		return 0
	}
	return h.resume.input.end
}
