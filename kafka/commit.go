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
func (m *member) commitLoop(ctx context.Context) {
	tick := time.NewTicker(m.cfg.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.commitSoon:
		}
		if err := m.commitTick(ctx); err != nil && ctx.Err() == nil {
			m.fail(err)
			return
		}
	}
}

// hurry has the commit loop commit before its tick.
func (m *member) hurry() { wakeUp(m.commitSoon) }

// commitTick commits all partitions once. Lost partitions cancel it: see lost.
func (m *member) commitTick(ctx context.Context) error {
	m.commitMu.Lock()
	defer m.commitMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RebalanceTimeout/4)
	defer cancel()
	m.mu.Lock()
	m.mu.cancelTick = cancel
	m.mu.Unlock()
	return m.commitAll(ctx, m.assignments(), false)
}

// commitAll makes durable and then commits what each assignment has done: first what the changelog is told, if there is one (see
// changelog), then the marks of all partitions, which wait for one fsync together, then the offsets, in one request. In that
// order an offset that Kafka holds is never ahead of the marks (unless they are behind: see WhileRestoring); marks ahead of the offset do no harm. Called with commitMu held.
//
// stopped says that their goroutines have returned: where nothing is left under way the commit says "clean". A failed offset
// commit is no error: the next one carries a later offset. Only what cannot pass is returned.
func (m *member) commitAll(ctx context.Context, as []*assignment, stopped bool) error {
	if m.txn != nil {
		return m.txn.commitAll(ctx, as, stopped)
	}
	at := make(map[int32]position, len(as))
	var todo []*assignment
	for _, a := range as {
		if !a.restored() || !stopped && a.isKilled() {
			continue // one that was killed is about to go: release knows whether it may be committed
		}
		pos := a.stand()
		// After the position: where the store has caught up since, it knows what lies below. And where something was left out in bypass, a restart
		// before the first verdict still learns it.
		pos.behind = a.behind.Load() || a.unlearned.Load() != nil
		pos.meta.clean = stopped && a.isDrained() && pos.next == a.doneBelow()
		if pos != a.last {
			at[a.part] = pos
			todo = append(todo, a)
		}
	}
	if len(todo) == 0 {
		if stopped {
			return nil
		}
		return m.probe(ctx, as)
	}
	todo, err := m.commitChanges(ctx, todo, at)
	if err != nil || len(todo) == 0 {
		return err
	}
	if err := m.commitMarks(ctx, todo, at); err != nil {
		return err
	}
	return m.commitOffsets(ctx, todo, at, stopped)
}

// probe asks whether the store is sound, where there is nothing to commit: without traffic its failure would show only with
// the next record, hours later. One partition speaks for all. A commit below what was committed changes nothing. Called
// with commitMu held, which keeps the handle open.
func (m *member) probe(ctx context.Context, as []*assignment) error {
	if len(as) == 0 {
		return nil
	}
	if m.bypass.Load() {
		return nil
	}
	if err := as[0].state.Commit(ctx, -1); err != nil && ctx.Err() == nil && !m.bypass.Load() {
		return fmt.Errorf("kafka: the store: %w", err)
	}
	return nil
}

// commitMarks commits to the engine. Not below where it stands (an operator's rewind), and not before anything was
// handled: the offset an operator chose says nothing about marks. In bypass the store is left alone.
func (m *member) commitMarks(ctx context.Context, as []*assignment, at map[int32]position) error {
	if m.bypass.Load() {
		return nil
	}
	var group sync.WaitGroup
	failed := make([]error, len(as))
	for i, a := range as {
		next := at[a.part].next
		if next <= a.resume.state || next <= a.resume.start || at[a.part].behind {
			continue
		}
		group.Go(func() {
			if err := a.state.Commit(ctx, next); err != nil {
				failed[i] = fmt.Errorf("kafka: %s/%d: commit of the marks below %d: %w", m.cfg.Input, a.part, next, err)
			}
		})
	}
	group.Wait()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		m.commitFailures.Add(1)
		m.log.Warn("the store takes too long to make marks durable; the next commit makes good", "topic", m.cfg.Input, "partitions", len(as),
			"limit", m.cfg.RebalanceTimeout/4)
	}
	if ctx.Err() != nil {
		return nil // late, lost or stopping: the offsets are not committed either
	}
	if m.bypass.Load() { // the switch was thrown meanwhile
		return nil
	}
	return errors.Join(failed...)
}

// commitOffsets commits to Kafka and notes what it acknowledged.
//
// With ProtocolConsumer a commit can meet a member's epoch that is just over. The client waits half a second for the heartbeat that tells it the new
// one; where that takes longer, the next commit makes good. With last there is no next one, and who gets the partitions would do again what was
// done here; so it is tried until ctx ends.
func (m *member) commitOffsets(ctx context.Context, as []*assignment, at map[int32]position, last bool) error {
	if ctx.Err() != nil {
		return nil
	}
	answers, err := m.requestCommit(ctx, at)
	for last && err == nil && stale(answers) && ctx.Err() == nil {
		answers, err = m.requestCommit(ctx, at)
	}
	m.commits.Add(1)
	for _, a := range as {
		answer := answerFor(a.part, answers, err)
		if answer == nil {
			a.acknowledged(at[a.part])
			continue
		}
		m.commitFailures.Add(1)
		if fatal := m.fatalGroup(answer); fatal != nil {
			return fatal
		}
		m.log.Warn("offset commit failed; the next one makes good", "topic", m.cfg.Input, "partition", a.part, "offset", at[a.part].next, "cause", answer)
	}
	return nil
}

func stale(answers map[int32]error) bool {
	for _, answer := range answers {
		if errors.Is(answer, kerr.StaleMemberEpoch) {
			return true
		}
	}
	return false
}

// answerFor is what Kafka said of a partition's offset: err, where the request failed as a whole.
func answerFor(part int32, answers map[int32]error, err error) error {
	if err != nil {
		return err
	}
	answer, ok := answers[part]
	if !ok {
		return errNoAnswer
	}
	return answer
}

// acknowledged notes what Kafka has committed. Called with commitMu held.
func (a *assignment) acknowledged(pos position) {
	a.last = pos
	a.committed.Store(pos.next)
}

// requestCommit sends one OffsetCommit with our metadata and returns the answers by partition.
func (m *member) requestCommit(ctx context.Context, at map[int32]position) (map[int32]error, error) {
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
	m.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.cfg.Input: offsets},
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
func (m *member) fatalGroup(err error) error {
	if errors.Is(err, kerr.FencedInstanceID) {
		return &FencedError{InstanceID: m.cfg.InstanceID, Err: err}
	}
	for final, hint := range map[*kerr.Error]string{
		kerr.GroupAuthorizationFailed:  "allow noecho's user READ on the group",
		kerr.TopicAuthorizationFailed:  "allow noecho's user READ on the topic it reads and WRITE on the one it writes",
		kerr.InvalidSessionTimeout:     fmt.Sprintf("noecho asks for %v: set session_timeout to what the broker's group.min.session.timeout.ms and group.max.session.timeout.ms allow, or change those", m.cfg.SessionTimeout),
		kerr.InconsistentGroupProtocol: "the group has members of another kind; give noecho a group of its own",
		kerr.OffsetMetadataTooLarge:    "raise offset.metadata.max.bytes of the broker to 192 or more",
		kerr.InvalidGroupID:            "give the group another name",
	} {
		if errors.Is(err, final) {
			return &GroupError{Group: m.cfg.Group, Err: err, Hint: hint}
		}
	}
	return nil
}
