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

	build builder // owned by run
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
	return position{next: next, meta: metadata{at: next, out: w.resume.out(next, w.lastOut), rewound: next < w.resume.state}}
}

// nextLocked returns the offset below which all is in the output, or dropped.
func (w *worker) nextLocked() int64 {
	switch {
	case len(w.pending) > 0:
		return w.pending[0].first
	case w.open >= 0:
		return w.open
	}
	return w.handled
}

// leftLocked implements task.
func (w *worker) leftLocked() (underway, unsent bool) { return len(w.pending) > 0, !w.build.empty() }

// flush implements task.
func (w *worker) flush() error { return w.seal() }

// abandon implements task: what has not been sent never is.
func (w *worker) abandon() { w.r.producer.abandon(w.lane) }

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
	if err := w.check(chunk); err != nil {
		return err
	}
	var unique, redelivery, duplicate, noKey, bypassed, already uint64
	v := 0
	for i, r := range chunk {
		if r.Attrs.IsControl() {
			continue
		}
		if !w.keyed[i] {
			if w.r.cfg.OnMissingKey == MissingDrop {
				noKey++
				continue
			}
			bypassed++
		} else {
			verdict := w.verdicts[v]
			v++
			switch verdict.Kind {
			case engine.Duplicate:
				duplicate++
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
		if err := w.put(r); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.handled = max(w.handled, chunk[len(chunk)-1].Offset+1)
	w.open = -1
	if !w.build.empty() {
		w.open = w.build.first
	}
	w.mu.Unlock()
	w.count.unique.Add(unique)
	w.count.redelivery.Add(redelivery)
	w.count.duplicate.Add(duplicate)
	w.count.noKey.Add(noKey)
	w.count.bypassed.Add(bypassed)
	w.count.already.Add(already)
	clear(w.recs) // keys hold on to what was fetched, and the next chunk of a quiet partition may be hours away
	for _, r := range chunk {
		r.Recycle() // its memory is the client's for the next fetch: nothing may hold on to the record, its key or its value
	}
	return nil
}

// put adds a record to the open batch, sealing it first when it is full. It waits while too many batches are pending.
func (w *worker) put(r *kgo.Record) error {
	size := w.build.sizeBound(r)
	if w.build.full(size, int(w.r.batchLimit.Load())) {
		if err := w.seal(); err != nil {
			return err
		}
		if !w.waitPending() {
			return errKilled
		}
	}
	w.build.append(r)
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

// waitPending returns when there is room for another batch, or false when the worker was killed.
func (w *worker) waitPending() bool {
	for {
		w.mu.Lock()
		room := len(w.pending) < maxPending
		w.mu.Unlock()
		if room {
			return true
		}
		select {
		case <-w.wake:
		case <-w.quit:
			return false
		}
	}
}
