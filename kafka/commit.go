package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitLoop commits what is done, once an interval, until ctx ends.
func (r *Relay) commitLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := r.commitTick(ctx); err != nil && ctx.Err() == nil {
				r.fail(err)
				return
			}
		}
	}
}

// commitTick commits all partitions once. Lost partitions cancel it: see lost.
func (r *Relay) commitTick(ctx context.Context) error {
	r.commitMu.Lock()
	defer r.commitMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.RebalanceTimeout/4)
	defer cancel()
	r.mu.Lock()
	r.mu.cancelTick = cancel
	r.mu.Unlock()
	return r.commitWorkers(ctx, r.workers(), false)
}

// commitWorkers makes durable and then commits what each worker has done: first the marks of all partitions, which wait
// for one fsync together, then the offsets, in one request. In that order an offset that Kafka holds is never ahead of
// the marks; marks ahead of the offset do no harm. Called with commitMu held.
//
// stopped says that the workers have returned: where nothing is left under way the commit says "clean". A failed offset
// commit is no error: the next one carries a later offset. Only what cannot pass is returned.
func (r *Relay) commitWorkers(ctx context.Context, workers []*worker, stopped bool) error {
	at := make(map[int32]position, len(workers))
	var todo []*worker
	for _, w := range workers {
		if !w.restored() {
			continue
		}
		pos := w.position()
		pos.meta.clean = stopped && w.isDrained()
		if pos != w.last {
			at[w.part] = pos
			todo = append(todo, w)
		}
	}
	if len(todo) == 0 {
		if stopped {
			return nil
		}
		return r.probe(ctx, workers)
	}
	if err := r.commitMarks(ctx, todo, at); err != nil {
		return err
	}
	return r.commitOffsets(ctx, todo, at)
}

// probe asks whether the store is sound, where there is nothing to commit: without traffic its failure would show only with
// the next record, hours later. One partition speaks for all. A commit below what was committed changes nothing. Called
// with commitMu held, which keeps the handle open.
func (r *Relay) probe(ctx context.Context, workers []*worker) error {
	if len(workers) == 0 {
		return nil
	}
	if err := workers[0].state.Commit(ctx, -1); err != nil && ctx.Err() == nil {
		return fmt.Errorf("kafka: the store: %w", err)
	}
	return nil
}

// commitMarks commits to the engine. Not below where it stands (an operator's rewind), and not before anything was
// handled: the offset an operator chose says nothing about marks.
func (r *Relay) commitMarks(ctx context.Context, workers []*worker, at map[int32]position) error {
	var group sync.WaitGroup
	failed := make([]error, len(workers))
	for i, w := range workers {
		next := at[w.part].next
		if next <= w.resume.state || next <= w.resume.start {
			continue
		}
		group.Go(func() {
			if err := w.state.Commit(ctx, next); err != nil {
				failed[i] = fmt.Errorf("kafka: %s/%d: commit of the marks below %d: %w", r.cfg.Input, w.part, next, err)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil // late, lost or stopping: the offsets are not committed either
	}
	return errors.Join(failed...)
}

// commitOffsets commits to Kafka and notes what it acknowledged.
func (r *Relay) commitOffsets(ctx context.Context, workers []*worker, at map[int32]position) error {
	if ctx.Err() != nil {
		return nil
	}
	answers, err := r.requestCommit(ctx, at)
	r.commits.Add(1)
	for _, w := range workers {
		answer := err
		if answer == nil {
			var ok bool
			if answer, ok = answers[w.part]; !ok {
				answer = errNoAnswer
			}
		}
		if answer == nil {
			w.last = at[w.part]
			w.committed.Store(at[w.part].next)
			continue
		}
		r.commitFailures.Add(1)
		if fatal := r.fatalGroup(answer); fatal != nil {
			return fatal
		}
		r.log.Warn("offset commit failed; the next one makes good", "topic", r.cfg.Input, "partition", w.part, "offset", at[w.part].next, "cause", answer)
	}
	return nil
}

// requestCommit sends one OffsetCommit with our metadata and returns the answers by partition.
func (r *Relay) requestCommit(ctx context.Context, at map[int32]position) (map[int32]error, error) {
	offsets := make(map[int32]kgo.EpochOffset, len(at))
	for part, pos := range at {
		offsets[part] = kgo.EpochOffset{Epoch: -1, Offset: pos.next}
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				rp := &req.Topics[i].Partitions[j]
				rp.Metadata = kmsg.StringPtr(at[rp.Partition].meta.String())
			}
		}
		return nil
	})
	var failed error
	answers := make(map[int32]error, len(at))
	r.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{r.cfg.Input: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if failed = err; err != nil {
				return
			}
			for i := range resp.Topics {
				for j := range resp.Topics[i].Partitions {
					rp := &resp.Topics[i].Partitions[j]
					answers[rp.Partition] = kerr.ErrorForCode(rp.ErrorCode)
				}
			}
		})
	return answers, failed
}

// fatalGroup returns the error to stop with where the group's word cannot pass by itself, else nil.
func (r *Relay) fatalGroup(err error) error {
	if errors.Is(err, kerr.FencedInstanceID) {
		return &FencedError{InstanceID: r.cfg.InstanceID, Err: err}
	}
	for final, hint := range map[*kerr.Error]string{
		kerr.GroupAuthorizationFailed:  "allow the relay's user READ on the group",
		kerr.TopicAuthorizationFailed:  "allow the relay's user READ on the input and WRITE on the output",
		kerr.InvalidSessionTimeout:     fmt.Sprintf("the relay asks for %v: let the broker's group.min.session.timeout.ms and group.max.session.timeout.ms allow that", r.cfg.SessionTimeout),
		kerr.InconsistentGroupProtocol: "the group has members of another kind; give the relay a group of its own",
		kerr.OffsetMetadataTooLarge:    "raise offset.metadata.max.bytes of the broker to 128 or more",
		kerr.InvalidGroupID:            "give the group another name",
	} {
		if errors.Is(err, final) {
			return &GroupError{Group: r.cfg.Group, Err: err, Hint: hint}
		}
	}
	return nil
}
