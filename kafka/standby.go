package kafka

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A standby follows the changelog of the partitions that it does not own, into its store: when it is given such a partition there is
// next to nothing to restore. One goroutine follows them all, a step each commit interval.
//
// What it takes in is durable with each step. But its store is told of no more than the group has committed as done: the naive way
// commits all that the changelog tells, and since a start goes on at the later of the group's offset and the store's, an operator's
// rewind that another member works off would be undone by the takeover.
//
// A handle has one user. leave takes a partition from the standby before it is claimed for an assignment, and waits for the step that
// is under way, which it cancels; back gives it back when the assignment is gone.
type standby struct {
	m *member
	c *changelog

	// Lock order: member.releaseMu, stepMu, mu. Neither is held while one of member's other locks is taken.
	stepMu    sync.Mutex           // held for a step of one partition
	followers map[int32]*following // protected by stepMu

	mu     sync.Mutex
	owned  map[int32]bool             // protected by mu: not to be followed
	cancel context.CancelFunc         // protected by mu: of the step under way; nil: there is none
	shown  map[int32]StandbyPartition // protected by mu: where each follower stands
}

// following is one partition that is followed. Protected by standby.stepMu.
type following struct {
	replay
	begun bool
}

// StandbyPartition is a snapshot of a partition that a standby follows.
type StandbyPartition struct {
	Partition int32
	Known     int64 // offset of the input: the store knows what lies below, as far as the changelog tells of it
	Lag       int64 // records of the changelog that are not taken in yet: about one for each commit of the owner
	// Warm: it has taken in all that the changelog held at its last look, and nothing of a window is missing there. A takeover now would
	// have next to nothing to restore.
	Warm bool
}

// startStandby begins to follow; nothing happens where that is not wanted. Called by run, before the member joins.
func (m *member) startStandby(stop context.Context) {
	c := m.changelog.Load()
	if !m.cfg.Standby || c == nil {
		return
	}
	s := &standby{m: m, c: c, followers: make(map[int32]*following), owned: make(map[int32]bool), shown: make(map[int32]StandbyPartition)}
	m.standby.Store(s)
	m.running.Go(func() { s.run(stop) })
}

func (s *standby) run(stop context.Context) {
	tick := time.NewTicker(s.m.cfg.CommitInterval)
	defer tick.Stop()
	defer s.closeAll()
	select {
	case <-stop.Done():
		return
	case <-s.m.connected:
	}
	for try := 0; ; {
		select {
		case <-stop.Done():
			return
		case <-tick.C:
		}
		if s.m.bypass.Load() {
			continue
		}
		if err := s.round(stop); err != nil && stop.Err() == nil {
			s.m.warnAgain(try, "standby: trying again", 1, err)
			try++
		} else {
			try = 0
		}
	}
}

// round takes a step in each partition that is not owned.
func (s *standby) round(stop context.Context) error {
	if s.m.input.topicID() == (topicID{}) { // or records of a topic that was deleted would be taken for the input's
		if err := s.m.input.refresh(stop, 0); err != nil {
			return err
		}
	}
	top := s.c.tail.top
	if top.count() == 0 {
		if err := top.refresh(stop, 0); err != nil {
			return err
		}
	}
	var parts []int32
	s.mu.Lock()
	for part := range top.count() {
		if !s.owned[part] {
			parts = append(parts, part)
		}
	}
	s.mu.Unlock()
	if len(parts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(stop, s.m.cfg.RebalanceTimeout/4)
	defer cancel()
	done, err := kadm.NewClient(s.c.cl).FetchOffsets(ctx, s.m.cfg.Group)
	if err != nil {
		return fmt.Errorf("kafka: offsets of the group: %w", err)
	}
	var cause error
	for part, log := range listSpans(ctx, s.c.cl, top, parts) {
		if log.err == nil {
			at := int64(-1)
			if o, ok := done.Lookup(s.m.cfg.Input, part); ok {
				at = o.At
			}
			log.err = s.step(stop, part, log.span, at)
		}
		cause = worse(cause, log.err)
	}
	return cause
}

// step takes in what the changelog of a partition has got; done is what the group has committed.
func (s *standby) step(stop context.Context, part int32, log span, done int64) error {
	s.stepMu.Lock()
	defer s.stepMu.Unlock()
	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	s.mu.Lock()
	owned := s.owned[part]
	s.cancel = cancel
	s.mu.Unlock()
	if owned {
		return nil
	}
	f, err := s.follower(part)
	if err == nil {
		err = f.step(ctx, log)
	}
	if f != nil {
		lag := max(0, log.end-f.next)
		s.mu.Lock()
		s.shown[part] = StandbyPartition{Partition: part, Known: f.known, Lag: lag, Warm: f.begun && f.hole == 0 && lag == 0}
		s.mu.Unlock()
	}
	if err == nil && f.begun {
		err = f.state.Commit(ctx, min(done, f.known))
	}
	if ctx.Err() != nil {
		return nil // it was taken from us, or we stop
	}
	return err
}

// follower returns the one of a partition, whose state it claims. Called with stepMu held.
func (s *standby) follower(part int32) (*following, error) {
	if f := s.followers[part]; f != nil {
		return f, nil
	}
	state, err := s.m.store.Partition(s.m.cfg.Input, part)
	if err != nil {
		return nil, err
	}
	if err := s.m.identify(part, state); err != nil {
		_ = state.Close() // it is of another topic of that name: the marks of this one must not come on top
		return nil, err
	}
	_, known := state.Coverage()
	f := &following{replay: replay{m: s.m, part: part, state: state, c: s.c, end: math.MaxInt64, known: max(known, state.Committed())}}
	f.known = max(f.known, 0)
	f.moved = func(context.Context) error { return nil }
	s.followers[part] = f
	s.m.log.Info("standby: following the changelog", "topic", s.c.topic, "partition", part, "known", f.known)
	return f, nil
}

func (f *following) step(ctx context.Context, log span) (err error) {
	if !f.begun {
		if f.begun, err = f.begin(ctx, log); err != nil || !f.begun {
			return err
		}
	}
	f.next = max(f.next, log.start)
	err = f.read(ctx, log.end)
	if f.hole > 0 && f.m.oldestNeeded(f.seen) > f.hole {
		f.begun, f.hole = false, 0 // as time goes on, what is missing becomes too old to matter: it is begun behind it
	}
	return err
}

// leave takes a partition from the standby, which has closed its handle when leave returns. nil: there is none.
func (s *standby) leave(part int32) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.owned[part] = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.stepMu.Lock()
	defer s.stepMu.Unlock()
	s.close(part)
}

// back gives a partition back, whose assignment has closed its handle. nil: there is none.
func (s *standby) back(part int32) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owned, part)
}

// close ends the following of a partition. Called with stepMu held.
func (s *standby) close(part int32) {
	f := s.followers[part]
	if f == nil {
		return
	}
	delete(s.followers, part)
	s.mu.Lock()
	delete(s.shown, part)
	s.mu.Unlock()
	if err := f.state.Close(); err != nil {
		s.m.log.Warn("close of the partition's state", "topic", s.m.cfg.Input, "partition", part, "cause", err)
	}
}

func (s *standby) closeAll() {
	s.stepMu.Lock()
	defer s.stepMu.Unlock()
	for part := range s.followers {
		s.close(part)
	}
}

// standbyStats returns a snapshot, by partition.
func (m *member) standbyStats() (all []StandbyPartition) {
	s := m.standby.Load()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all = slices.Collect(maps.Values(s.shown))
	slices.SortFunc(all, func(a, b StandbyPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	return all
}
