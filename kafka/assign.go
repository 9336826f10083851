package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The client calls assigned, then fetched, then adjust for new partitions; revoked or lost when they go. It never calls
// two of them at once, but Run may stop at the same time.

// assigned claims the engine's state of each new partition and makes its worker. No record comes before adjust.
func (r *Relay) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	for _, part := range parts[r.cfg.Input] {
		state, err := r.store.Partition(r.cfg.Input, part)
		if err != nil {
			r.fail(fmt.Errorf("kafka: %s/%d: claim the state: %w", r.cfg.Input, part, err))
			return
		}
		w := r.newWorker(part, state)
		r.mu.Lock()
		stopping := r.mu.stopping
		if !stopping {
			r.mu.workers[part] = w
		}
		r.shareMemory(len(r.mu.workers))
		r.mu.Unlock()
		if stopping {
			_ = state.Close()
			return
		}
		go w.run()
	}
}

func (r *Relay) newWorker(part int32, state partition) *worker {
	w := &worker{
		r: r, part: part, state: state, open: -1, lastOut: -1, last: position{next: -1},
		lane: &lane{partition: part},
		wake: make(chan struct{}, 1), ready: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	w.lane.acked, w.lane.split = w.acked, w.split
	w.highWater.Store(-1)
	w.committed.Store(-1)
	w.build = builder{prefix: []byte(sourcePrefix(r.cfg.Input, part)), compressor: r.compressor}
	return w
}

// fetched notes what the group has committed for the new partitions.
func (r *Relay) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range resp.Groups {
		for _, topic := range resp.Groups[i].Topics { // the input only: we subscribe to nothing else
			for _, p := range topic.Partitions {
				w := r.mu.workers[p.Partition]
				if w == nil || p.ErrorCode != 0 {
					continue
				}
				w.group = committedOffset{offset: max(p.Offset, -1)}
				if p.Metadata != nil {
					w.group.meta, w.group.ours = parseMetadata(*p.Metadata, p.Offset)
				}
			}
		}
	}
	return nil
}

// adjust says where each new partition starts, and sends the restore on its way. The start follows from the two
// committed offsets alone; what the output holds is read in the background, while the first records are fetched.
func (r *Relay) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.stop, cancel)()
	spans, err := r.inputSpans(ctx, slices.Collect(maps.Keys(offsets[r.cfg.Input])))
	if err != nil {
		if ctx.Err() == nil {
			r.fail(err)
		}
		return nil, err
	}
	latest, err := r.startLatest(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.fail(err)
		}
		return nil, err
	}
	var restoring []*worker
	for part := range offsets[r.cfg.Input] {
		r.mu.Lock()
		w := r.mu.workers[part]
		r.mu.Unlock()
		if w == nil {
			continue // stopping
		}
		if err := r.begin(w, spans[part], latest); err != nil {
			r.fail(err)
			return nil, err
		}
		offsets[r.cfg.Input][part] = kgo.NewOffset().At(w.resume.start).WithEpoch(-1)
		restoring = append(restoring, w)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(restoring) > 0 && !r.mu.stopping {
		r.running.Go(func() { r.restoreAll(restoring) })
	}
	return offsets, nil
}

// startLatest says whether a partition that nobody knows starts at its end. That is meant for a group that is new. Once
// the group has an offset for any partition of the input, an unknown one was added to the topic later, and what came in
// before the group heard of it must not be passed over.
func (r *Relay) startLatest(ctx context.Context) (bool, error) {
	if r.cfg.StartAt != StartLatest {
		return false, nil
	}
	for try := 0; ; try++ {
		offsets, err := kadm.NewClient(r.cl).FetchOffsets(ctx, r.cfg.Group)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil, errors.Is(err, kerr.GroupIDNotFound):
			for _, known := range offsets[r.cfg.Input] {
				if known.Err == nil && known.At >= 0 {
					return false, nil
				}
			}
			return true, nil
		case r.fatalGroup(err) != nil:
			return false, r.fatalGroup(err)
		case permanent(err):
			return false, r.coordinatorError(err)
		}
		r.warnAgain(try, "offsets of the group: trying again", 0, err)
		select {
		case <-time.After(restoreRetryPause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// begin decides where a partition starts, within what its log holds.
func (r *Relay) begin(w *worker, log span, latest bool) error {
	state := w.state.Committed()
	w.plan = decide(w.group, state)
	start := w.plan.start
	if w.group.offset < 0 && state >= 0 {
		r.log.Warn("the group has no offset, but the data directory has handled this partition: it goes on there, and start_at is not used",
			"topic", r.cfg.Input, "partition", w.part, "group", r.cfg.Group, "offset", state)
	}
	switch {
	case start < 0 && latest:
		start = log.end
	case start < 0:
		start = log.start
	case start > log.end:
		return &OffsetError{Topic: r.cfg.Input, Partition: w.part, Offset: start, Start: log.start, End: log.end}
	case start < log.start:
		r.log.Warn("retention has removed records that were never relayed", "topic", r.cfg.Input, "partition", w.part, "from", start, "to", log.start)
		start = log.start
	}
	w.resume = resume{start: start, state: state, there: -1, input: log}
	w.mu.Lock()
	w.handled = start
	w.mu.Unlock()
	return nil
}

// revoked drains the partitions, commits, and lets them go; all within the rebalance timeout.
func (r *Relay) revoked(ctx context.Context, _ *kgo.Client, parts map[string][]int32) {
	if err := r.release(ctx, parts[r.cfg.Input], true); err != nil {
		r.fail(err)
	}
}

// lost gives up partitions that another member may own by now: what is under way is dropped, nothing is written and
// nothing committed. A commit tick that is under way is cancelled first: with the next generation's membership it would
// otherwise go through, and put another owner's partition back.
func (r *Relay) lost(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	r.mu.Lock()
	if r.mu.cancelTick != nil {
		r.mu.cancelTick()
	}
	r.mu.Unlock()
	r.log.Warn("partitions lost", "topic", r.cfg.Input, "partitions", parts[r.cfg.Input])
	if err := r.release(context.Background(), parts[r.cfg.Input], false); err != nil {
		r.fail(err)
	}
}

// release ends the workers of the partitions. With drain what is under way is finished and committed.
func (r *Relay) release(ctx context.Context, parts []int32, drain bool) error {
	r.releaseMu.Lock()
	defer r.releaseMu.Unlock()
	var workers []*worker
	r.mu.Lock()
	for _, part := range parts {
		if w := r.mu.workers[part]; w != nil {
			workers = append(workers, w)
		}
	}
	r.mu.Unlock()
	if len(workers) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.RebalanceTimeout/2)
	defer cancel()
	r.stopWorkers(ctx, workers, drain)

	r.commitMu.Lock()
	defer r.commitMu.Unlock()
	var err error
	if drain && r.broken.Err() == nil {
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.RebalanceTimeout/4)
		err = r.commitWorkers(commit, workers, true)
		cancel()
	}
	for _, w := range workers {
		r.forget(w)
	}
	return err
}

// stopWorkers returns when all workers have returned: drained, or killed when that is wanted, not possible, or late.
func (r *Relay) stopWorkers(ctx context.Context, workers []*worker, drain bool) {
	for _, w := range workers {
		if drain && w.restored() {
			w.drain()
		} else {
			w.kill()
		}
	}
	for _, w := range workers {
		select {
		case <-w.done:
		case <-ctx.Done():
			r.log.Warn("not drained in time: what the output took in meanwhile is found again at the next start",
				"topic", r.cfg.Input, "partition", w.part)
		case <-r.broken.Done(): // what is under way may never be acknowledged
		}
		w.kill()
		<-w.done
	}
}

// forget removes a worker whose goroutine has returned. Called with commitMu held.
func (r *Relay) forget(w *worker) {
	r.mu.Lock()
	delete(r.mu.workers, w.part)
	w.count.addTo(&r.mu.totals)
	r.shareMemory(len(r.mu.workers))
	r.mu.Unlock()
	if w.full.Swap(notFull) == paused {
		r.resumeFetch(w) // the client remembers a pause beyond the assignment
	}
	if err := w.state.Close(); err != nil {
		r.log.Warn("close of the partition's state", "topic", r.cfg.Input, "partition", w.part, "cause", err)
	}
}
