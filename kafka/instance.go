package kafka

import (
	"cmp"
	"time"
)

// instanceHeld is since when the coordinator has refused us for the sake of another process with our instance id. Owned by poll.
type instanceHeld struct{ first, last time.Time }

// instancePatience is how many session timeouts we wait for another process with our instance id to be given up: one for its session, one for a
// coordinator that moves meanwhile, where all sessions begin anew.
const instancePatience = 2

// unreleased waits, by doing nothing, for the session of a process with our instance id to be over.
//
// With ProtocolClassic whoever joins last has the instance id, and the other one is fenced. With ProtocolConsumer it is whoever joined first, until it leaves, or
// its session is over. A process that was killed has not left: its successor waits, and gets in. A process that lives is a mistake, which does not
// pass.
func (m *member) unreleased(err error) {
	now := time.Now()
	session := cmp.Or(m.lease.sessionTimeout(), usualSession)
	if now.Sub(m.held.last) > session { // another story
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
