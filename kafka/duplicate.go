package kafka

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// OnDuplicate says what becomes of a duplicate.
type OnDuplicate string

const (
	// DuplicateDrop leaves it out.
	DuplicateDrop OnDuplicate = "drop"
	// DuplicateTag lets it through to the output, with the evidence in headers: for who wants to decide downstream.
	DuplicateTag OnDuplicate = "tag"
	// DuplicateTopic sends it to DuplicatesTopic, same partition number, with the evidence in headers.
	DuplicateTopic OnDuplicate = "topic"
)

// hold is what keeps an offset from being committed although the output has all it should: a duplicate that its topic has not
// acknowledged.
type hold struct {
	first int64 // source offset; -1: nothing is held
	// out goes with first in the commit metadata: every record of the output from a source offset at or above first lies at
	// or above it. The naive way, the output's end at the time of the commit, is wrong here: the output goes on while the
	// duplicate waits, a scan from its end would miss what was added since, and a restart would produce that again. So out is
	// taken when the duplicate is: the records above it are built later, and acknowledged later still.
	out int64
}

// duplicates is the way of a worker's duplicates to their topic: a builder and a lane of its own, beside those of the
// output.
//
// What is promised: at least once, and in order while nothing fails. No offset is committed before the duplicates below it
// are acknowledged, so a crash may repeat evidence and never loses it. Exactly once would take a look at this topic's tail at
// each start too, for records that nobody is meant to process; who counts them can tell repetitions by noecho-source.
//
// The output waits for this topic only when maxPending batches of duplicates are not acknowledged: they must be somewhere, and
// memory is bounded. One batch is under way at a time; what comes meanwhile gathers into the next.
type duplicates struct {
	w    *worker // immutable
	lane *lane   // immutable

	build builder // owned by the worker's goroutine

	most atomic.Int64 // bytes at which a batch is closed, beside what the output allows; lowered by refusals

	// Protected by the assignment's mu.
	pending []*batch // sealed, not acknowledged, in order
	spare   []*batch // acknowledged, for the builder to reuse
	open    hold     // of the builder's first record
}

func newDuplicates(w *worker) *duplicates {
	d := &duplicates{w: w, lane: &lane{partition: w.part}, open: hold{first: -1}}
	d.build = w.r.newBuilder(w.part)
	d.most.Store(math.MaxInt64)
	d.lane.acked, d.lane.split = d.acked, d.split
	return d
}

// put adds a duplicate to the open batch. It waits while too many batches are pending.
func (d *duplicates) put(r *kgo.Record, e *evidence) error {
	w := d.w
	if d.build.full(d.build.sizeBound(r, e), int(min(w.r.batchLimit.Load(), d.most.Load()))) {
		d.seal()
		if !w.hasRoom(&d.pending) {
			if !w.build.empty() { // the output shall not wait longer than this topic makes it
				if err := w.seal(); err != nil {
					return err
				}
			}
			if !w.waitRoom(&d.pending) {
				return errKilled
			}
		}
	}
	if d.build.empty() {
		w.mu.Lock()
		d.open = hold{first: r.Offset, out: w.resume.out(r.Offset, w.lastOut)}
		w.mu.Unlock()
	}
	d.build.append(r, e)
	return nil
}

// flush sends the open batch if none is under way, or the partition is being given up. A duplicate by itself in the builder would hold the offsets for as long
// as the next one takes to come. nil: duplicates have no topic.
func (d *duplicates) flush() {
	if d == nil || d.build.empty() {
		return
	}
	d.w.mu.Lock()
	send := d.w.draining || len(d.pending) == 0
	d.w.mu.Unlock()
	if send {
		d.seal()
	}
}

// seal hands the open batch to the producer.
func (d *duplicates) seal() {
	w := d.w
	w.mu.Lock()
	d.build.freelist = append(d.build.freelist, d.spare...)
	d.spare = d.spare[:0]
	w.mu.Unlock()
	b := d.build.seal(d.lane.producerID, d.lane.epoch, d.lane.sequence)
	d.lane.sequence = (d.lane.sequence + int32(b.records)) & 0x7fffffff
	w.mu.Lock()
	b.out = d.open.out
	d.pending = append(d.pending, b)
	d.open.first = -1
	w.mu.Unlock()
	w.r.duplicates.enqueue(d.lane, b)
}

// acked takes the producer's word that b is in the topic. Called by the producer, in order.
func (d *duplicates) acked(b *batch, _ int64) {
	w := d.w
	w.count.duplicatesProduced.Add(uint64(b.records))
	w.mu.Lock()
	d.pending = append(d.pending[:0], d.pending[1:]...)
	d.spare = append(d.spare, b)
	w.mu.Unlock() // b is the builder's from here on
	w.signal()
}

// split replaces the first pending batch, which the broker has refused as too large, by its halves.
func (d *duplicates) split(b *batch) ([]*batch, error) {
	w := d.w
	parts, err := b.split(w.r.newBuilder(w.part))
	if err != nil {
		return nil, err
	}
	limit := min(d.most.Load(), w.r.batchLimit.Load())
	d.most.Store(max(limit/2, min(limit, smallestBatch)))
	w.mu.Lock()
	defer w.mu.Unlock()
	d.pending = append(parts, d.pending[1:]...)
	return parts, nil
}

// heldLocked returns what the oldest duplicate that is not acknowledged holds. Called with the assignment's mu held. nil:
// duplicates have no topic.
func (d *duplicates) heldLocked() hold {
	switch {
	case d == nil:
		return hold{first: -1}
	case len(d.pending) > 0:
		return hold{d.pending[0].first, d.pending[0].out}
	}
	return d.open
}

// leftLocked is the duplicates' part of worker.leftLocked.
func (d *duplicates) leftLocked() (underway, unsent bool) {
	if d == nil {
		return false, false
	}
	return len(d.pending) > 0, !d.build.empty()
}

// duplicate does with a copy what is wanted; there: the output has it already, or was never to
// have it.
//
// What lies at or below resume.there was handled by a life before this one, of which only the output tells; what that one
// meant for the duplicates' topic may not have got there, whatever this one's mode is. So it is sent there again.
func (w *worker) duplicate(r *kgo.Record, v engine.Verdict, mode Mode) (there bool, err error) {
	if v.Elsewhere {
		if err := w.afterOriginal(v); err != nil {
			return false, err
		}
	}
	there = r.Offset <= w.resume.there
	switch {
	case w.dups != nil && (mode == ModeActive || there):
		return false, w.dups.put(r, w.evidence(r, v))
	case mode == ModeActive && w.r.cfg.OnDuplicate != DuplicateTag:
		return false, nil
	case there:
		return true, nil
	}
	w.count.tagged.Add(1)
	return false, w.put(r, w.evidence(r, v))
}

// openDuplicates finds out where newly assigned partitions lead their duplicates. A topic that is not there for the moment is the
// producer's to wait for; one that lacks a partition will never take what is sent there.
func (r *Relay) openDuplicates(ctx context.Context, workers []*worker) error {
	if r.duplicates == nil {
		return nil
	}
	top := r.duplicates.top
	_, _, version := top.leader(0)
	if err := top.refresh(ctx, version); err != nil {
		if permanent(err) {
			return err
		}
		return nil
	}
	for _, w := range workers {
		if w.part >= top.count() {
			return &TopicError{Topic: top.topic, Err: fmt.Errorf("it has no partition %d", w.part), Hint: "give it as many partitions as the input has"}
		}
	}
	return nil
}

// checkDuplicates is the duplicates' topic's part of Preflight.
func (r *Relay) checkDuplicates(ctx context.Context, adm *kadm.Client) error {
	if r.cfg.OnDuplicate != DuplicateTopic {
		return nil
	}
	topic := r.cfg.DuplicatesTopic
	in, err := partitionsOf(ctx, adm, r.cfg.Input, "create it, or name the topic to read")
	if err != nil {
		return err
	}
	got, err := partitionsOf(ctx, adm, topic, fmt.Sprintf("create it with as many partitions as the input has (%d)", in))
	if err != nil {
		return err
	}
	if got < in {
		return &TopicError{Topic: topic, Err: fmt.Errorf("it has %d partitions, the input has %d", got, in),
			Hint: fmt.Sprintf("a duplicate keeps its partition's number, so give it at least %d", in)}
	}
	limits, err := messageLimits(ctx, adm, r.cfg.Input, topic)
	largest, most := limits[r.cfg.Input], limits[topic]
	if err != nil || largest == 0 || most == 0 {
		r.log.Info("topic configs are not known; sizes are not compared", "topic", topic, "cause", err)
		return nil
	}
	if most < largest {
		return &TopicError{Topic: topic, Err: fmt.Errorf("it takes batches of at most %d bytes, the input of %d", most, largest),
			Hint: fmt.Sprintf("a large duplicate would stop the relay; set its max.message.bytes to %d or more", largest)}
	}
	return nil
}

// validateDuplicates adds what is wrong with the choice about duplicates.
func (c *RelayConfig) validateDuplicates() (problems []string) {
	switch c.OnDuplicate {
	case DuplicateDrop, DuplicateTag:
		if c.DuplicatesTopic != "" {
			problems = append(problems, fmt.Sprintf("duplicates_topic is %q, but on_duplicate is %s, which does not use it", c.DuplicatesTopic, string(c.OnDuplicate)))
		}
	case DuplicateTopic:
		switch c.DuplicatesTopic {
		case "":
			problems = append(problems, "duplicates_topic is missing: on_duplicate is topic")
		case c.Input, c.Output:
			problems = append(problems, fmt.Sprintf("duplicates_topic is %q, which is the input or the output; name a third topic", c.DuplicatesTopic))
		}
	default:
		problems = append(problems, fmt.Sprintf("on_duplicate %q is none of drop, tag, topic", string(c.OnDuplicate)))
	}
	if err := c.Mode.validate(); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}
