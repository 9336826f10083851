package kafka

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// heartbeats renews the lease of a member of a group of ProtocolConsumer by the heartbeats of the client, whose hook it is. A nil one is
// of ProtocolClassic, and does nothing.
//
// The naive way sends heartbeats of our own, as with ProtocolClassic. But here the coordinator hands out a changed assignment once, with
// the answer to whichever heartbeat comes first. Ours would take it away from the client, which would keep a partition that it was told to
// give back until it is fenced.
//
// A hook is told that a request was written, and that an answer was read. It is told neither what the answer says nor when the request went out:
// it gets durations, and in a process that was frozen before it was called they add up from the wrong end. So two things are concluded:
//
//   - When the request went out: not before the answer to the one before it had been read. The client sends a heartbeat at a time. It
//     costs the lease a heartbeat's interval (5 s).
//   - What the answer said: the client sends the next heartbeat as if nothing had happened only where it was told that it is a member.
//     When the group has given it up it calls lost first, and when the broker was not the coordinator, or not yet, it asks for that first. So an
//     answer is believed when the next heartbeat goes out, or when what it assigned is handed to us. To believe it at once would let go
//     a process that wakes after it was given up, and learns of it with this very answer, for the moment until lost is called: what it has ready is sent in less.
//
// So the lease reaches back two to three intervals: checkTimes sees to it that they fit into the session.
//
// A heartbeat goes on being answered while the coordinator waits for partitions that it has ordered back, and when the rebalance timeout is over it
// gives the member up all the same. So from the order to the answer that follows their return, the lease is bounded by that, too.
type heartbeats struct {
	lease   *lease // immutable
	classic func() // immutable; told that the client has fallen back to ProtocolClassic

	mu       sync.Mutex
	answered time.Time // when the last answer had been read, or else when the client was made; protected by mu
	since    time.Time // the request of the last answer was not sent before; zero: no answer yet; protected by mu
	doubted  bool      // the last answer is not believed yet; protected by mu
	returned time.Time // when the partitions that were ordered back were given back; zero: none were; protected by mu
}

// newHeartbeats makes the hook of a client that is made next.
func newHeartbeats(l *lease, classic func()) *heartbeats {
	return &heartbeats{lease: l, classic: classic, answered: time.Now()}
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (h *heartbeats) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	switch kmsg.Key(key) {
	case kmsg.FindCoordinator:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.doubted = false
	case kmsg.ConsumerGroupHeartbeat:
		now := time.Now()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.doubted = e2e.Err() == nil; h.doubted {
			h.since, h.answered = h.answered, now
		}
	}
}

// OnBrokerWrite implements kgo.HookBrokerWrite. It comes before the answer is waited for.
func (h *heartbeats) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	switch kmsg.Key(key) {
	case kmsg.JoinGroup:
		h.classic()
	case kmsg.ConsumerGroupHeartbeat:
		h.believe()
	}
}

// believe notes that the last answer was one to a member.
func (h *heartbeats) believe() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.doubted {
		return
	}
	h.doubted = false
	if !h.returned.IsZero() && !h.since.Before(h.returned) {
		h.returned = time.Time{}
		h.lease.ordered.Store(nil)
	}
	h.lease.renew(h.since)
}

// ordered notes that the coordinator waits for partitions. The client says so at once: the last answer is the one that ordered them back.
func (h *heartbeats) ordered() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	since := h.since
	h.returned = time.Time{}
	h.lease.ordered.Store(&since)
}

// obeyed notes that they are given back: what the client sends from here on says so.
func (h *heartbeats) obeyed() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.returned = time.Now()
}

// lost notes that the group has given the member up.
func (h *heartbeats) lost() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubted, h.returned = false, time.Time{}
	h.lease.proof.Store(nil)
	h.lease.ordered.Store(nil)
}
