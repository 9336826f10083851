package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

const maxPending = 4 // sealed batches of a partition that are not acknowledged; beyond that the worker waits

// worker relays one assigned partition: what its assignment takes from the queue it has decided, and builds the output's
// batches from what passes.
type worker struct {
	*assignment

	// Immutable after newTask.
	r    *Relay
	lane *lane
	dups *duplicates // nil: duplicates have no topic

	// Owned by run.
	build   builder
	witness witness
	mode    Mode    // of the last chunk; "": none yet
	passed  passage // in bypass, since it began

	count counters

	pending []*batch // protected by mu: sealed, not acknowledged, in order
	spare   []*batch // protected by mu: acknowledged, for the builder to reuse
	open    int64    // protected by mu: source offset of the builder's first record; -1: none
	lastOut int64    // protected by mu: output offset after the last acknowledged record; -1: none in this assignment
}

// position returns what may be committed now. Both halves are taken under one lock, because they are one statement: every
// record of the output from a source offset at or above next lies at or above meta.out.
func (w *worker) position() position {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.nextLocked()
	out := w.resume.out(next, w.lastOut)
	if held := w.dups.heldLocked(); held.first == next {
		out = held.out
	}
	pos := position{next: next, meta: metadata{at: next, out: out, rewound: next < w.resume.state}}
	if w.r.txn != nil {
		// Records above next lie in the output where they did before the first transaction, and where a duplicate is waited for. Then
		// the next start looks for them as ever, and like after a rewind: from next on, though the store may be ahead.
		pos.meta.txn = next > w.resume.there && w.dups.heldLocked().first != next
		pos.meta.rewound = !pos.meta.txn
	}
	return pos
}

// nextLocked implements task: the offset below which all is in the output, dropped, or in the duplicates' topic.
func (w *worker) nextLocked() int64 {
	next := w.doneLocked()
	if held := w.dups.heldLocked(); held.first >= 0 {
		next = min(next, held.first)
	}
	return next
}

// doneLocked implements task: below it all is in the output, or dropped.
func (w *worker) doneLocked() int64 {
	if len(w.pending) > 0 {
		return w.pending[0].first
	} else if w.open >= 0 {
		return w.open
	}
	return w.handled
}

// leftLocked implements task. The way to the output and the one to the duplicates' topic each have one batch under way at a
// time at the least, and neither waits for the other.
func (w *worker) leftLocked() (underway, unsent bool) {
	underway, unsent = len(w.pending) > 0, !w.build.empty()
	also, more := w.dups.leftLocked()
	if unsent && !underway || more && !also {
		return false, true
	}
	return underway || also, unsent || more
}

// flush implements task.
func (w *worker) flush() error {
	w.mu.Lock()
	send := w.draining || len(w.pending) == 0
	w.mu.Unlock()
	if send && !w.build.empty() {
		if err := w.seal(); err != nil {
			return err
		}
	}
	w.dups.flush()
	return nil
}

// abandon implements task: what has not been sent never is.
func (w *worker) abandon() {
	w.r.producer.abandon(w.lane)
	if w.dups != nil {
		w.r.duplicates.abandon(w.dups.lane)
	}
}

// acked takes the producer's word that b lies in the output from base on. Called by the producer, in order.
func (w *worker) acked(b *batch, base int64) {
	w.count.produced.Add(uint64(b.records))
	w.count.producedBytes.Add(uint64(len(b.wire)))
	w.mu.Lock()
	w.pending = append(w.pending[:0], w.pending[1:]...)
	w.spare = append(w.spare, b)
	w.lastOut = base + int64(b.records)
	// What run last stored in handled may be older than b: it stores once a chunk. lastOut without handled would say that
	// nothing from handled on is in the output below lastOut, and a crash right after the commit would repeat b.
	w.handled = max(w.handled, b.last+1)
	w.mu.Unlock() // b is the builder's from here on
	w.signal()
}

// handle decides a chunk and builds the output's batches from what passes.
func (w *worker) handle(chunk []*kgo.Record) error {
	w.dups.flush()
	mode, err := w.decide(chunk)
	if err != nil {
		return err
	}
	if mode == ModeBypass {
		return w.bypass(chunk)
	}
	var unique, redelivery, duplicate, noKey, bypassed, already uint64
	tagging := mode == ModeShadow || w.r.cfg.OnDuplicate != DuplicateDrop
	v := 0
	for i, r := range chunk {
		if r.Attrs.IsControl() {
			continue
		}
		if tagging {
			w.witness.recent.note(r.Offset, timestamp(r))
		}
		var e *evidence
		if !w.keyed[i] {
			if w.r.cfg.OnMissingKey == MissingDrop {
				noKey++
				if mode == ModeActive {
					continue
				}
				e = w.witness.noKey()
			} else {
				bypassed++
			}
		} else {
			verdict := w.verdicts[v]
			v++
			switch verdict.Kind {
			case engine.Duplicate:
				duplicate++
				there, err := w.duplicate(r, verdict, mode)
				if err != nil {
					return err
				}
				if there {
					already++
				}
				continue
			case engine.Redelivery:
				redelivery++
			default:
				unique++
			}
		}
		if r.Offset <= w.resume.there {
			already++
			continue
		}
		if err := w.put(r, e); err != nil {
			return err
		}
	}
	w.count.add(unique, redelivery, duplicate, noKey, bypassed, already)
	w.relayed(chunk)
	return nil
}

// relayed notes that a chunk is in the builders or beyond, and gives its memory back.
func (w *worker) relayed(chunk []*kgo.Record) {
	w.mu.Lock()
	w.handled = max(w.handled, chunk[len(chunk)-1].Offset+1)
	w.open = -1
	if !w.build.empty() {
		w.open = w.build.first
	}
	w.mu.Unlock()
	clear(w.recs) // keys hold on to what was fetched, and the next chunk of a quiet partition may be hours away
	for _, r := range chunk {
		r.Recycle() // its memory is the client's for the next fetch: nothing may hold on to the record, its key or its value
	}
}

// put adds a record to the open batch, sealing it first when it is full. It waits while too many batches are pending.
func (w *worker) put(r *kgo.Record, e *evidence) error {
	size := w.build.sizeBound(r, e)
	if w.build.full(size, int(w.r.batchLimit.Load())) {
		if err := w.seal(); err != nil {
			return err
		}
		if !w.waitRoom(&w.pending) {
			return errKilled
		}
	}
	w.build.append(r, e)
	return nil
}

// seal hands the open batch to the producer. After an error the worker must stop: the batch stays in pending, so nothing
// of it is ever committed, and nothing behind it may be sent.
func (w *worker) seal() error {
	w.mu.Lock()
	w.build.freelist = append(w.build.freelist, w.spare...)
	w.spare = w.spare[:0]
	w.mu.Unlock()
	b := w.build.seal(w.lane.producerID, w.lane.epoch, w.lane.sequence)
	w.lane.sequence = (w.lane.sequence + int32(b.records)) & 0x7fffffff // 2^31-1 is followed by 0
	w.mu.Lock()
	w.pending = append(w.pending, b)
	w.open = -1
	w.mu.Unlock()
	if limit := w.r.maxMessage.Load(); limit > 0 && b.records == 1 && int64(len(b.wire)) > limit {
		return &ProduceError{Topic: w.r.cfg.Output, Partition: w.part, First: b.first, Last: b.last, Bytes: len(b.wire),
			Err: fmt.Errorf("it is larger than max.message.bytes of the output, %d: %w", limit, kerr.MessageTooLarge)}
	}
	w.r.producer.enqueue(w.lane, b)
	return nil
}

// hasRoom says whether another batch may be sealed.
func (w *worker) hasRoom(pending *[]*batch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(*pending) < maxPending
}

// waitRoom returns when there is room for another batch, or false when the worker was killed.
func (w *worker) waitRoom(pending *[]*batch) bool {
	for !w.hasRoom(pending) {
		select {
		case <-w.wake:
		case <-w.quit:
			return false
		}
	}
	return true
}
