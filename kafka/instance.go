package kafka

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// instanceHeld is since when the coordinator has refused us for the sake of another process with our instance id. Owned by poll.
type instanceHeld struct{ first, last time.Time }

// instancePatience is how many session timeouts we wait for another process with our instance id to be given up: one for its session, one for a
// coordinator that moves meanwhile, where all sessions begin anew.
const instancePatience = 2

// instanceRetry is more than the client ever waits between two tries to join.
const instanceRetry = 15 * time.Second

// unreleased waits, by doing nothing, for the session of a process with our instance id to be over.
//
// With ProtocolClassic whoever joins last has the instance id, and the other one is fenced. With ProtocolConsumer it is whoever joined first, until it leaves, or
// its session is over. A process that was killed has not left: its successor waits, and gets in. A process that lives is a mistake, which does not
// pass.
func (m *member) unreleased(err error) {
	now := time.Now()
	session := cmp.Or(m.lease.sessionTimeout(), usualSession)
	if now.Sub(m.held.last) > max(session, instanceRetry) { // another story
		m.held.first = now
	}
	m.held.last = now
	if now.Sub(m.held.first) > instancePatience*session {
		m.fail(&FencedError{InstanceID: m.cfg.InstanceID, Err: err})
		return
	}
	m.log.Warn("the group has a member with this instance id already: waiting until it leaves, or its session is over if it was killed",
		"group", m.cfg.Group, "instance_id", m.cfg.InstanceID, "cause", err)
}

// leaving is the epoch with which a static member says that it goes and will be back.
const leaving = -2

// leave closes the client, and has a group of ProtocolConsumer keep our partitions for our next life, for a session.
//
// The client leaves by itself when it is closed, but without naming the instance id. Kafka 4.3 takes no notice of that, and the next life would
// wait for this one's session to be over. So it is not let: it is hung up first, which also ends its heartbeats, and then we say it.
func (m *member) leave() {
	id, epoch := m.cl.GroupMetadata()
	m.hangUp()
	m.cl.CloseAllowingRebalance()
	if id == "" || epoch <= 0 || errors.As(context.Cause(m.broken), new(*ProtocolError)) {
		return // no member, or one of ProtocolClassic, whose partitions wait for it anyway
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.RebalanceTimeout/12)
	defer cancel()
	cl, err := kgo.NewClient(m.cfg.Client...)
	if err == nil {
		defer cl.Close()
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.InstanceID, req.MemberEpoch = m.cfg.Group, id, kmsg.StringPtr(m.cfg.InstanceID), leaving
		var resp *kmsg.ConsumerGroupHeartbeatResponse
		if resp, err = req.RequestWith(ctx, cl); err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
	}
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedInstanceID) {
		return // given up already
	}
	if err != nil {
		m.log.Warn("the group was not told of the stop: the next start waits until the session is over", "group", m.cfg.Group, "cause", err)
	}
}
