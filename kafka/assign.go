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

// assigned claims the engine's state of each new partition and starts its goroutine. No record comes before adjust.
func (m *member) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.heartbeats.believe() // the answer that assigns
	for _, part := range parts[m.cfg.Input] {
		m.standby.Load().leave(part)
		state, err := m.claimState(part)
		if err != nil {
			m.fail(fmt.Errorf("kafka: %s/%d: claim the state: %w", m.cfg.Input, part, err))
			return
		}
		a := m.newAssignment(part, state)
		m.mu.Lock()
		stopping := m.mu.stopping
		if !stopping {
			m.mu.assigned[part] = a
		}
		m.shareMemory(len(m.mu.assigned))
		m.mu.Unlock()
		if stopping {
			_ = state.Close()
			return
		}
		go a.run()
	}
	m.lease.ask()
}

// fetched notes what the group has committed for the new partitions.
func (m *member) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range resp.Groups {
		for _, topic := range resp.Groups[i].Topics { // the input only: we subscribe to nothing else
			for _, p := range topic.Partitions {
				a := m.mu.assigned[p.Partition]
				if a == nil || p.ErrorCode != 0 {
					continue
				}
				a.group = committedOffset{offset: max(p.Offset, -1)}
				if p.Metadata != nil {
					a.group.meta, a.group.ours = parseMetadata(*p.Metadata, p.Offset)
				}
			}
		}
	}
	return nil
}

// adjust says where each new partition starts, and sends the restore on its way. The start follows from the two
// committed offsets alone; what else the role must find out is read in the background, while the first records are fetched.
func (m *member) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.stop, cancel)()
	select {
	case <-m.counted:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	spans, err := m.inputSpans(ctx, slices.Collect(maps.Keys(offsets[m.cfg.Input])))
	if err != nil {
		if ctx.Err() == nil {
			m.fail(err)
		}
		return nil, err
	}
	latest, err := m.startLatest(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.fail(err)
		}
		return nil, err
	}
	var restoring []*assignment
	for part := range offsets[m.cfg.Input] {
		a := m.assignmentOf(part)
		if a == nil {
			continue // stopping
		}
		if err := m.begin(a, spans[part], latest); err != nil {
			m.fail(err)
			return nil, err
		}
		offsets[m.cfg.Input][part] = kgo.NewOffset().At(a.resume.start).WithEpoch(-1)
		restoring = append(restoring, a)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(restoring) > 0 && !m.mu.stopping {
		m.running.Go(func() { m.role.restoreAll(restoring) })
	}
	return offsets, nil
}

// startLatest says whether a partition that nobody knows starts at its end. That is meant for a group that is new. Once
// the group has an offset for any partition of the input, an unknown one was added to the topic later, and what came in
// before the group heard of it must not be passed over.
func (m *member) startLatest(ctx context.Context) (bool, error) {
	if m.cfg.StartAt != StartLatest {
		return false, nil
	}
	for try := 0; ; try++ {
		offsets, err := kadm.NewClient(m.cl).FetchOffsets(ctx, m.cfg.Group)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil, errors.Is(err, kerr.GroupIDNotFound):
			for _, known := range offsets[m.cfg.Input] {
				if known.Err == nil && known.At >= 0 {
					return false, nil
				}
			}
			return true, nil
		case m.fatalGroup(err) != nil:
			return false, m.fatalGroup(err)
		case permanent(err):
			return false, m.coordinatorError(err)
		}
		m.warnAgain(try, "offsets of the group: trying again", 0, err)
		select {
		case <-time.After(restoreRetryPause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// begin decides where a partition starts, within what its log holds.
func (m *member) begin(a *assignment, log span, latest bool) error {
	if a.group.ours && m.input.differs(a.group.meta.topic) {
		return recreated(m.cfg.Input)
	}
	if err := m.identify(a.part, a.state); err != nil {
		return err
	}
	state := a.state.Committed()
	a.plan = decide(a.group, state)
	if m.txn != nil { // whose offsets are exact, once they are its own
		a.plan.claim = !a.group.ours || !a.group.meta.txn
	}
	start := a.plan.start
	if a.group.offset < 0 && state >= 0 {
		m.log.Warn("the group has no offset, but the data directory has handled this partition: it goes on there, and start_at is not used",
			"topic", m.cfg.Input, "partition", a.part, "group", m.cfg.Group, "offset", state)
	}
	switch {
	case start < 0 && latest:
		start = log.end
		a.since = start
	case start < 0:
		start = log.start
		a.since = start // what retention removed before there was a group is not missing
	case start > log.end:
		return &OffsetError{Topic: m.cfg.Input, Partition: a.part, Offset: start, Start: log.start, End: log.end}
	case start < log.start:
		m.log.Warn("retention has removed records that were never handled", "topic", m.cfg.Input, "partition", a.part, "from", start, "to", log.start)
		m.missing.removed.Add(uint64(log.start - start))
		start = log.start
	}
	if a.group.ours {
		a.since = a.group.meta.since
	}
	a.resume = resume{start: start, state: state, there: -1, input: log}
	a.mu.Lock()
	a.handled = start
	a.mu.Unlock()
	return nil
}

// revoked drains the partitions, commits, and lets them go; all within the rebalance timeout.
func (m *member) revoked(ctx context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.heartbeats.ordered()
	defer m.heartbeats.obeyed()
	m.mu.Lock()
	stopping := m.mu.stopping
	m.mu.Unlock()
	if err := m.release(ctx, parts[m.cfg.Input], true); err != nil {
		m.fail(err)
	}
	if m.scope != nil && !stopping {
		m.fail(m.notAlone("the group takes partitions away from this member"))
	}
}

// lost gives up partitions that another member may own by now: what is under way is dropped, nothing is written and
// nothing committed. A commit tick that is under way is cancelled first: with the next generation's membership it would
// otherwise go through, and put another owner's partition back.
func (m *member) lost(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.heartbeats.lost()
	m.mu.Lock()
	if m.mu.cancelTick != nil {
		m.mu.cancelTick()
	}
	m.mu.Unlock()
	m.log.Warn("partitions lost", "topic", m.cfg.Input, "partitions", parts[m.cfg.Input])
	if err := m.release(context.Background(), parts[m.cfg.Input], false); err != nil {
		m.fail(err)
	}
}

// release ends the assignments of the partitions. With drain what is under way is finished and committed.
func (m *member) release(ctx context.Context, parts []int32, drain bool) error {
	m.releaseMu.Lock()
	defer m.releaseMu.Unlock()
	var as []*assignment
	m.mu.Lock()
	for _, part := range parts {
		if a := m.mu.assigned[part]; a != nil {
			as = append(as, a)
		}
	}
	m.mu.Unlock()
	if len(as) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.RebalanceTimeout/2)
	defer cancel()
	m.stopAll(ctx, as, drain)

	m.commitMu.Lock()
	defer m.commitMu.Unlock()
	var err error
	if drain && m.broken.Err() == nil {
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.RebalanceTimeout/4)
		err = m.commitAll(commit, as, true)
		cancel()
	} else if m.txn != nil && m.broken.Err() == nil {
		err = m.txn.giveUp(ctx, as)
	}
	for _, a := range as {
		m.forget(a)
	}
	return err
}

// stopAll returns when all goroutines of the assignments have returned: drained, or killed when that is wanted, not possible, or late.
func (m *member) stopAll(ctx context.Context, as []*assignment, drain bool) {
	for _, a := range as {
		if drain && a.restored() {
			a.drain()
		} else {
			a.kill()
		}
	}
	for _, a := range as {
		select {
		case <-a.done:
		case <-ctx.Done():
			m.log.Warn("not drained in time: what was under way is found out, or done again, at the next start",
				"topic", m.cfg.Input, "partition", a.part)
		case <-m.broken.Done(): // what is under way may never be acknowledged
		}
		a.kill()
		<-a.done
	}
}

// forget removes an assignment whose goroutine has returned. Called with commitMu held.
func (m *member) forget(a *assignment) {
	m.mu.Lock()
	delete(m.mu.assigned, a.part)
	m.scope.leave(a)
	m.role.gone(a)
	m.shareMemory(len(m.mu.assigned))
	m.mu.Unlock()
	if a.full.Swap(notFull) == paused {
		m.resumeFetch(a) // the client remembers a pause beyond the assignment
	}
	if err := a.state.Close(); err != nil {
		m.log.Warn("close of the partition's state", "topic", m.cfg.Input, "partition", a.part, "cause", err)
	}
	m.standby.Load().back(a.part)
}
