package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lease says whether the member may act on its partitions: send to the output, call the handler.
//
// The naive way acts until the client says that partitions are lost. But the client knows it from an answer of the group's
// coordinator, and there are members that get none: cut off from the coordinator alone, frozen and woken again, or waiting for the
// answer to a request to join, in which time the client sends no heartbeats. All of these go on beside the successor.
//
// The coordinator gives a member up when it has not heard of it for a session timeout, or when it does not take part in a rebalance
// within the rebalance timeout. So a member that was answered is its partitions' owner for the shorter of the two from the moment when it
// sent that request, whatever happens since, and no longer: a lease. It is renewed by heartbeats of our own, whose answers we see, also while a request to join is under way (they go by
// another connection). Where none is answered we stop in time, which costs availability and nothing else; the first answer lets us go on.
//
// A tenth of that is left for what is on its way when the lease ends.
//
// One member is told that there is a rebalance, and its request to join alone does not arrive. It is confirmed until the rebalance goes
// on without it, and hears of that with the next heartbeat.
//
// With ProtocolConsumer it is renewed by the client's own heartbeats: see heartbeats.
type lease struct {
	rebalance time.Duration // immutable after init: nine tenths of the rebalance timeout
	kick      chan struct{} // cap 1: ask now

	session atomic.Int64              // timeout in nanoseconds; 0: not known yet, and the lease does not hold
	assumed atomic.Bool               // it may not be read, and this is what is taken for it
	proof   atomic.Pointer[time.Time] // when the last request was sent that proves the membership; nil: none does
	ordered atomic.Pointer[time.Time] // the coordinator waits for partitions, and not before this; nil: it does not. Of ProtocolConsumer

	mu      sync.Mutex
	renewed chan struct{} // protected by mu: closed at the next renewal
}

// leaseRetryPause is the time between two questions while the lease does not hold.
const leaseRetryPause = 200 * time.Millisecond

func (l *lease) init(rebalance time.Duration) {
	l.rebalance = rebalance - rebalance/10
	l.kick, l.renewed = make(chan struct{}, 1), make(chan struct{})
}

// limit notes the session timeout.
func (l *lease) limit(session time.Duration) {
	l.session.Store(int64(session))
	l.wake()
}

// sessionTimeout returns 0 where it is not known yet.
func (l *lease) sessionTimeout() time.Duration { return time.Duration(l.session.Load()) }

// length is how long after its proof the lease ends.
func (l *lease) length() time.Duration {
	session := l.sessionTimeout()
	return min(session-session/10, l.rebalance)
}

// holds says whether the lease holds now.
func (l *lease) holds() bool {
	proof, ordered := l.proof.Load(), l.ordered.Load()
	return proof != nil && within(*proof, l.length()) && (ordered == nil || within(*ordered, l.rebalance))
}

// within says whether t is less than d ago. The wall clock is looked at, too: the other one stands still while a machine sleeps.
func within(t time.Time, d time.Duration) bool {
	now := time.Now()
	return now.Sub(t) < d && now.Round(0).Sub(t.Round(0)) < d
}

// always is closed.
var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// held returns a channel that is closed when the lease holds: now, or when it is renewed.
func (l *lease) held() <-chan struct{} {
	if l.holds() {
		return always
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds() { // renewed meanwhile
		return always
	}
	return l.renewed
}

// renew notes that a request that was sent then was answered as a member's.
func (l *lease) renew(sent time.Time) {
	l.proof.Store(&sent)
	l.wake()
}

// wake has those go on who wait for a lease that holds.
func (l *lease) wake() {
	if !l.holds() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.renewed)
	l.renewed = make(chan struct{})
}

// ask wants the coordinator to be asked at once.
func (l *lease) ask() { wakeUp(l.kick) }

// keepLease renews the lease until ctx ends.
func (m *member) keepLease(ctx context.Context) {
	session := groupSession{m: m}
	for held, said := false, false; ; {
		if m.heartbeats != nil {
			session.look(ctx)
		} else {
			m.askCoordinator(ctx)
		}
		pause, now := m.leasePause(), m.lease.holds()
		switch {
		case ctx.Err() != nil:
			return
		case held && !now && len(m.assignments()) > 0:
			said = true
			m.log.Warn("the group's coordinator does not confirm this member: its partitions wait, for another member may have them",
				"topic", m.cfg.Input, "group", m.cfg.Group, "session_timeout", m.lease.sessionTimeout())
		case said && now:
			said = false
			m.log.Info("the group's coordinator confirms this member again", "topic", m.cfg.Input, "group", m.cfg.Group)
		}
		held = now
		select {
		case <-time.After(pause):
		case <-m.lease.kick:
		case <-ctx.Done():
			return
		}
	}
}

// leasePause is the time between two looks at the lease.
func (m *member) leasePause() time.Duration {
	length, pause := m.lease.length(), 3*time.Second
	if m.heartbeats == nil {
		pause = m.heartbeatInterval()
	}
	if !m.lease.holds() {
		pause = leaseRetryPause
	}
	if length > 0 {
		pause = min(pause, length/4)
	}
	return pause
}

// askCoordinator sends one heartbeat, and takes its answer for what it says of the membership.
func (m *member) askCoordinator(ctx context.Context) {
	id, generation := m.cl.GroupMetadata()
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.lease.length())
	defer cancel()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.cfg.Group, id, generation
	req.InstanceID = kmsg.StringPtr(m.cfg.InstanceID)
	sent := time.Now()
	resp, err := req.RequestWith(ctx, m.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case err == nil, errors.Is(err, kerr.RebalanceInProgress):
		// A rebalance is no doubt of the membership: nobody gets a partition before its owner has given it back, or is given up.
		m.lease.renew(sent)
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedInstanceID):
		if now, gen := m.cl.GroupMetadata(); now == id && gen == generation {
			m.lease.proof.Store(nil) // the group has gone on without us, or joined us anew and the answer is on its way
		}
	}
}

// allowedLocked says whether the lease holds; if not, what is ready is sent when it does again.
func (p *producer) allowedLocked() bool {
	if p.lease == nil {
		return true
	}
	held := p.lease.held()
	if held == always {
		return true
	}
	if !p.mu.waiting {
		p.mu.waiting = true
		p.running.Go(func() {
			select {
			case <-held:
			case <-p.ctx.Done():
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.mu.waiting = false
			for leader, q := range p.mu.brokers {
				p.sendLocked(leader, q)
			}
		})
	}
	return false
}
