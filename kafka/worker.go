package kafka

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

const (
	chunkRecords = 1024      // decided together, so that the engine can look several keys up at a time,
	chunkBytes   = 128 << 10 // but no more than stay in the cache from the key to the output's batch
	maxPending   = 4         // sealed batches of a partition that are not acknowledged; beyond that the worker waits
)

// worker relays one assigned partition: one goroutine takes records from the queue, has them decided, and builds the
// output's batches. It lives from the assignment to the revocation.
type worker struct {
	// Immutable after assign.
	r     *Relay
	part  int32
	state partition
	lane  *lane
	wake  chan struct{} // cap 1: records, an acknowledgement, or drain
	ready chan struct{} // closed when resume is known
	quit  chan struct{} // closed by kill
	done  chan struct{} // closed when run has returned

	// Written by the callbacks and the restore, one after the other, before ready is closed; then immutable.
	group  committedOffset
	plan   plan
	resume resume

	last position // protected by Relay.commitMu: what Kafka last acknowledged; next -1: nothing yet

	// Owned by run.
	build    builder
	arena    []byte
	keyed    []bool // which records of the chunk have a key
	recs     []engine.Record
	verdicts []engine.Verdict

	count     counters
	state_    atomic.Uint32 // State
	full      atomic.Uint32 // fullness: the poll loop raises it, run lowers it, both under mu
	highWater atomic.Int64  // of the input, as of the last fetch; -1: not known
	committed atomic.Int64  // acknowledged by Kafka; -1: none. Written under Relay.commitMu

	mu       sync.Mutex
	queue    queue    // protected by mu
	pending  []*batch // protected by mu: sealed, not acknowledged, in order
	spare    []*batch // protected by mu: acknowledged, for the builder to reuse
	open     int64    // protected by mu: source offset of the builder's first record; -1: none
	handled  int64    // protected by mu: below it every record is dropped, in pending, in the builder, or in the output
	lastOut  int64    // protected by mu: output offset after the last acknowledged record; -1: none in this assignment
	draining bool     // protected by mu
	drained  bool     // protected by mu: run has returned with nothing left under way
	killed   bool     // protected by mu: quit is closed
}

// restored says whether the worker may run: resume is known and claimed.
func (w *worker) restored() bool {
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

func (w *worker) isDrained() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drained
}

func (w *worker) isKilled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed
}

// position is a point up to which all is done, and the metadata that goes with it.
type position struct {
	next int64
	meta metadata
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

// feed hands over what one fetch brought. Called by the poll loop.
func (w *worker) feed(records []*kgo.Record, bound int64) {
	w.mu.Lock()
	if !w.draining && !w.killed {
		w.queue.push(records)
		if w.queue.bytes.Load() >= enough(bound) && w.full.Load() == notFull {
			w.full.Store(crowded)
		}
	}
	w.mu.Unlock()
	w.signal()
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drain asks run to leave the queue, finish what is under way, and return.
func (w *worker) drain() {
	w.mu.Lock()
	w.draining = true
	w.queue.drop()
	w.mu.Unlock()
	w.state_.Store(uint32(StateDraining))
	w.signal()
}

// kill stops run where it is; nothing more is sent.
func (w *worker) kill() {
	w.r.producer.abandon(w.lane)
	w.mu.Lock()
	if !w.killed {
		w.killed = true
		close(w.quit)
	}
	w.mu.Unlock()
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

// run is the worker's goroutine.
func (w *worker) run() {
	defer close(w.done)
	for {
		select {
		case <-w.quit:
			return
		case <-w.ready:
		}
		chunk, idle, finished := w.next()
		if finished {
			return
		}
		if len(chunk) > 0 {
			if err := w.relay(chunk); err != nil {
				w.failed(err)
				return
			}
			continue
		}
		if idle && !w.build.empty() {
			if err := w.seal(); err != nil { // nothing to wait for: send what there is
				w.failed(err)
				return
			}
			continue
		}
		select {
		case <-w.wake:
		case <-w.quit:
			return
		}
	}
}

// errKilled ends run without a word: whoever killed the worker knows.
var errKilled = errors.New("killed")

func (w *worker) failed(err error) {
	if !errors.Is(err, errKilled) {
		w.r.fail(err)
	}
}

// next takes the next chunk. idle: if there is none, there is nothing to wait for either. finished: drained.
func (w *worker) next() (chunk []*kgo.Record, idle, finished bool) {
	w.mu.Lock()
	chunk = w.queue.take(chunkRecords, chunkBytes)
	was := w.full.Load()
	relief := len(chunk) == 0 || was != notFull && w.queue.bytes.Load() <= enough(w.r.queueBound.Load())/2
	if relief {
		w.full.Store(notFull)
	}
	idle = w.draining || len(w.pending) == 0
	finished = w.draining && len(w.pending) == 0 && len(chunk) == 0 && w.build.empty()
	w.drained = finished
	w.mu.Unlock()
	if relief {
		w.r.relieved(w, was)
	}
	return chunk, idle, finished
}

// relay decides a chunk and builds the output's batches from what passes.
func (w *worker) relay(chunk []*kgo.Record) error {
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

// check extracts the keys of a chunk and asks for the verdicts, one for each record that has a key.
func (w *worker) check(chunk []*kgo.Record) error {
	w.arena, w.keyed, w.recs = w.arena[:0], w.keyed[:0], w.recs[:0]
	for _, r := range chunk {
		ok := false
		if !r.Attrs.IsControl() {
			var key []byte
			if key, w.arena, ok = w.r.cfg.Key.borrow(w.arena, r); ok {
				w.recs = append(w.recs, engine.Record{Key: key, Offset: r.Offset, Timestamp: timestamp(r)})
			} else if w.r.cfg.OnMissingKey == MissingFail {
				return &MissingKeyError{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: w.r.cfg.Key.String()}
			}
		}
		w.keyed = append(w.keyed, ok)
	}
	verdicts, err := w.state.Check(w.recs, w.verdicts[:0])
	w.verdicts = verdicts
	if err != nil {
		return fmt.Errorf("kafka: %s/%d: check: %w", w.r.cfg.Input, w.part, err)
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
