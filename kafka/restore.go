package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	restoreRetryPause = 200 * time.Millisecond // between two tries whose cause of failure may pass
	restoreParallel   = 8                      // output partitions read at a time
)

// restoreAll carries out the plans of newly assigned partitions and lets their workers run. It tries again while the
// cause of a failure may pass, and gives up when the relay stops; partitions that go meanwhile are left out.
func (r *Relay) restoreAll(workers []*worker) {
	for r.stop.Err() == nil {
		workers = slices.DeleteFunc(workers, (*worker).isKilled)
		if len(workers) == 0 {
			return
		}
		err := r.restore(r.stop, workers)
		if err == nil {
			return
		}
		var group *GroupError
		var fenced *FencedError
		var source *SourceError
		if r.stop.Err() != nil {
			return
		}
		if permanent(err) || errors.As(err, &group) || errors.As(err, &fenced) || errors.As(err, &source) {
			r.fail(err)
			return
		}
		r.log.Warn("restore: trying again", "topic", r.cfg.Input, "partitions", len(workers), "cause", err)
		select {
		case <-time.After(restoreRetryPause):
		case <-r.stop.Done():
		}
	}
}

func (r *Relay) restore(ctx context.Context, workers []*worker) error {
	id, epoch, err := r.producer.newID(ctx)
	if err != nil {
		return err
	}
	_, _, version := r.producer.top.leader(0)
	if err := r.producer.top.refresh(ctx, version); err != nil {
		return err
	}
	if err := r.findTails(ctx, workers); err != nil {
		return err
	}
	for _, w := range workers {
		w.lane.producerID, w.lane.epoch = id, epoch
	}
	return r.claim(ctx, workers)
}

// findTails fills in what of each partition is in the output already.
func (r *Relay) findTails(ctx context.Context, workers []*worker) error {
	cl, err := kgo.NewClient(r.cfg.Client...)
	if err != nil {
		return fmt.Errorf("kafka: client: %w", err)
	}
	defer cl.Close()
	tail := &tailReader{cl: cl, top: &topology{cl: cl, topic: r.cfg.Output}, decompress: kgo.DefaultDecompressor()}
	if err := tail.top.refresh(ctx, 0); err != nil {
		return err
	}
	var unsettled []int32
	for _, w := range workers {
		if !w.plan.clean {
			unsettled = append(unsettled, w.part)
		}
	}
	spans, err := tail.settled(ctx, unsettled, r.cfg.SettleWait)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	todo, failed := make(chan *worker), make(chan error, restoreParallel)
	for range restoreParallel {
		group.Go(func() {
			var err error
			for w := range todo {
				if err == nil {
					err = r.findTail(ctx, tail, w, spans)
				}
			}
			failed <- err
		})
	}
	for _, w := range workers {
		todo <- w
	}
	close(todo)
	group.Wait()
	for range restoreParallel {
		err = errors.Join(err, <-failed)
	}
	return err
}

// findTail fills in w.resume.
func (r *Relay) findTail(ctx context.Context, tail *tailReader, w *worker, spans map[int32]span) (err error) {
	log, ok := spans[w.part]
	if !ok {
		return &TopicError{Topic: r.cfg.Output, Err: fmt.Errorf("it has no partition %d", w.part), Hint: "give it as many partitions as the input has"}
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
		s.there, s.low, err = tail.lastBackward(ctx, r.cfg.Input, w.part, log)
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
	spans, err := listSpans(ctx, r.cl, r.cfg.Input)
	if err != nil {
		return err
	}
	s := &w.resume
	if s.input = spans[w.part]; s.there >= s.input.end {
		return &SourceError{Input: r.cfg.Input, Output: r.cfg.Output, Partition: w.part, Source: s.there, End: s.input.end}
	}
	return nil
}

// claim commits the starts of the partitions whose plan asks for it, until Kafka has acknowledged them, and then lets
// all the workers run. Nothing may be produced before: see decide.
func (r *Relay) claim(ctx context.Context, workers []*worker) error {
	r.commitMu.Lock()
	defer r.commitMu.Unlock()
	at := make(map[int32]position)
	var claimed, alive []*worker
	for _, w := range workers {
		if w.isKilled() {
			continue
		}
		alive = append(alive, w)
		if w.plan.claim {
			at[w.part] = w.position()
			claimed = append(claimed, w)
		}
	}
	if len(claimed) > 0 {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.RebalanceTimeout/4)
		defer cancel()
		r.mu.Lock()
		r.mu.cancelTick = cancel
		r.mu.Unlock()
		if err := r.commitOffsets(ctx, claimed, at); err != nil {
			return err
		}
		for _, w := range claimed {
			if w.last != at[w.part] {
				return fmt.Errorf("kafka: %s/%d: the claim of offset %d was not acknowledged", r.cfg.Input, w.part, at[w.part].next)
			}
		}
	}
	for _, w := range alive {
		w.state_.Store(uint32(StateRunning))
		close(w.ready)
	}
	return nil
}
