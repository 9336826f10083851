package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	settleTries     = 25 // until it is taken that others write to the output all the time
	restoreParallel = 8  // output partitions read at a time
)

// restoreAll implements role: it looks for what of the new partitions is in the output already.
func (r *Relay) restoreAll(as []*assignment) {
	cl, err := kgo.NewClient(r.cfg.Client...)
	if err != nil {
		r.fail(&ConfigError{Problems: []string{"client: " + err.Error()}})
		return
	}
	defer cl.Close()
	tail := &tailReader{cl: cl, top: &topology{cl: cl, topic: r.cfg.Output}, decompress: kgo.DefaultDecompressor(), committed: true}
	r.retryRestore(as, func(ctx context.Context, as []*assignment, try int) ([]*assignment, error) {
		return r.restore(ctx, tail, as, try >= settleTries)
	})
}

// restore lets the workers run that it can, and returns the others, with the worst of their causes.
func (r *Relay) restore(ctx context.Context, tail *tailReader, as []*assignment, moving bool) (left []*assignment, cause error) {
	found, notFound, cause := r.findTails(ctx, tail, workersOf(as), moving)
	if len(found) == 0 || final(cause) {
		return assignmentsOf(notFound), cause
	}
	id, epoch, err := r.newID(ctx)
	if err == nil {
		_, _, version := r.producer.top.leader(0)
		err = r.producer.top.refresh(ctx, version)
	}
	if err != nil {
		return as, worse(cause, err)
	}
	for _, w := range found {
		w.lane.producerID, w.lane.epoch = id, epoch
		if w.dups != nil {
			w.dups.lane.producerID, w.dups.lane.epoch = id, epoch
		}
	}
	if r.txn != nil {
		r.txn.entered(found)
	}
	if err := r.openDuplicates(ctx, found); err != nil {
		return as, worse(cause, err)
	}
	unclaimed, err := r.claim(ctx, assignmentsOf(found))
	return append(assignmentsOf(notFound), unclaimed...), worse(cause, err)
}

// findTails fills in what of each partition is in the output already; left are those of which it could not find out.
func (r *Relay) findTails(ctx context.Context, tail *tailReader, workers []*worker, moving bool) (found, left []*worker, cause error) {
	var all, unsettled []int32
	failed := make([]error, len(workers))
	for i, w := range workers {
		if !r.producer.idle(w.part) {
			failed[i] = fmt.Errorf("kafka: %s/%d: %w", r.cfg.Output, w.part, errUnderway)
			continue
		}
		all = append(all, w.part)
		if !w.plan.clean {
			unsettled = append(unsettled, w.part)
		}
	}
	spans := tail.settled(ctx, all, unsettled, r.cfg.SettleWait, moving)
	var group sync.WaitGroup
	todo := make(chan int)
	for range min(restoreParallel, len(workers)) {
		group.Go(func() {
			for i := range todo {
				failed[i] = r.findTail(ctx, tail, workers[i], spans[workers[i].part])
			}
		})
	}
	for i := range workers {
		if failed[i] == nil { // not written to before i is sent
			todo <- i
		}
	}
	close(todo)
	group.Wait()
	for i, w := range workers {
		if cause = worse(cause, failed[i]); failed[i] == nil {
			found = append(found, w)
		} else {
			left = append(left, w)
		}
	}
	return found, left, cause
}

// errUnderway: the partition was lost and has come back, and what it sent before may still land.
var errUnderway = errors.New("a request of an earlier assignment is still under way")

// findTail fills in w.resume.
func (r *Relay) findTail(ctx context.Context, tail *tailReader, w *worker, log listed) (err error) {
	if errors.Is(log.err, errNoPartition) {
		return &TopicError{Topic: r.cfg.Output, Err: fmt.Errorf("it has no partition %d", w.part), Hint: "give it as many partitions as the input has"}
	} else if log.err != nil {
		return log.err
	}
	s := &w.resume
	s.end, s.low, s.there = log.end, log.end, -1
	scan := w.plan.scan
	if scan == scanForward && w.plan.out > log.end {
		r.log.Warn("the output ends before the offset the last commit names; looking for its last record instead",
			"topic", r.cfg.Output, "partition", w.part, "end", log.end, "out", w.plan.out)
		scan = scanBackward
	}
	switch scan {
	case scanForward:
		s.low = max(w.plan.out, log.start)
		s.there, err = tail.last(ctx, r.cfg.Input, w.part, s.low, log.end)
	case scanBackward:
		s.there, s.low, err = tail.lastBackward(ctx, r.cfg.Input, w.part, log.span)
	}
	if err == nil && s.there >= s.input.end {
		err = r.checkSource(ctx, w)
	}
	if err == nil {
		r.log.Info("resume", "topic", r.cfg.Input, "partition", w.part, "start", s.start, "group", w.group.offset, "store", s.state,
			"operator", w.plan.obeyed, "output_end", s.end, "already_there", s.there)
	}
	return err
}

// checkSource refuses a source offset that the input has never given. A process that Kafka has given up, but that lived on,
// may have relayed what came in after we asked for the input's end; so ask again first.
func (r *Relay) checkSource(ctx context.Context, w *worker) error {
	log := listSpans(ctx, r.cl, &topology{cl: r.cl, topic: r.cfg.Input}, []int32{w.part})[w.part]
	if log.err != nil {
		return log.err
	}
	s := &w.resume
	if s.input = log.span; s.there >= s.input.end {
		return &SourceError{Input: r.cfg.Input, Output: r.cfg.Output, Partition: w.part, Source: s.there, End: s.input.end}
	}
	return nil
}
