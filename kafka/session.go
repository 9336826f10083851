package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// With ProtocolConsumer the session timeout and the heartbeats' interval are the coordinator's: those of the group, if it has any, else of the
// broker. The client is told the interval alone. A lease that is longer than the session lets two members act, so we ask.

const (
	sessionReadEvery = 30 * time.Second // the group's configuration can be changed at any time
	// What they are where nothing is set. Without the right to ask they are assumed: the brokers do not let a group have a shorter session
	// unless they are told to (group.consumer.min.session.timeout.ms).
	usualSession, usualHeartbeat = 45 * time.Second, 5 * time.Second
	// beatsInSession is how many heartbeats must at least fit into a session. The lease reaches back three of them: see heartbeats.
	beatsInSession = 5
)

// groupSession keeps the lease to the session timeout that the coordinator uses. Owned by keepLease.
type groupSession struct {
	m    *member
	next time.Time // when it is asked for
	said bool      // that we may not ask
}

// look asks for it when it is time to.
func (s *groupSession) look(ctx context.Context) {
	if time.Now().Before(s.next) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	session, interval, err := groupTimes(ctx, s.m.cl, s.m.cfg.Group)
	if err != nil && !permanent(err) {
		return // the lease goes on by what is known, or does not begin
	}
	s.next = time.Now().Add(sessionReadEvery)
	if err != nil {
		session, interval = usualSession, usualHeartbeat
		if !s.said {
			s.said = true
			s.m.log.Warn("the group's session timeout is not known, and taken for the usual one: allow noecho's user DESCRIBE_CONFIGS on the group",
				"group", s.m.cfg.Group, "session_timeout", session, "cause", err)
		}
	}
	if err := s.m.checkTimes(session, interval); err != nil {
		s.m.fail(err)
		return
	}
	s.m.lease.limit(session)
}

// errFewHeartbeats: the lease would end between two heartbeats.
var errFewHeartbeats = errors.New("the heartbeats are too far apart")

func (m *member) checkTimes(session, interval time.Duration) error {
	if shorter := min(session, m.cfg.RebalanceTimeout); interval > shorter/beatsInSession {
		return &GroupError{Group: m.cfg.Group, Err: errFewHeartbeats, Hint: fmt.Sprintf("with group_protocol consumer noecho needs %d of them (one each %v) in the shorter of "+
			"session timeout (%v) and rebalance timeout (%v): set consumer.heartbeat.interval.ms of the group to %d or less, or raise consumer.session.timeout.ms",
			beatsInSession, interval, session, m.cfg.RebalanceTimeout, (shorter / beatsInSession).Milliseconds())}
	}
	return nil
}

// groupTimes asks for the session timeout and the heartbeats' interval that a group's coordinator uses.
func groupTimes(ctx context.Context, cl *kgo.Client, group string) (session, interval time.Duration, err error) {
	const ofGroup, ofBroker = "consumer.", "group.consumer."
	times := make(map[string]time.Duration)
	err = resourceTimes(ctx, cl, kmsg.ConfigResourceTypeGroupConfig, group, ofGroup, times)
	if err != nil && !permanent(err) {
		return 0, 0, err
	}
	if len(times) < 2 { // not allowed, or the broker tells only what is set for the group
		coordinator := kadm.NewClient(cl).FindGroupCoordinators(ctx, group)[group]
		if coordinator.Err != nil {
			return 0, 0, coordinator.Err
		}
		if err := resourceTimes(ctx, cl, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(coordinator.NodeID)), ofBroker, times); err != nil {
			return 0, 0, err
		}
	}
	if len(times) < 2 {
		return 0, 0, kerr.InvalidConfig
	}
	return times[sessionConfig], times[heartbeatConfig], nil
}

const sessionConfig, heartbeatConfig = "session.timeout.ms", "heartbeat.interval.ms"

// resourceTimes adds to times those that it does not hold and the resource has.
func resourceTimes(ctx context.Context, cl *kgo.Client, kind kmsg.ConfigResourceType, name, prefix string, times map[string]time.Duration) error {
	ask := kmsg.NewDescribeConfigsRequestResource()
	ask.ResourceType, ask.ResourceName = kind, name
	ask.ConfigNames = []string{prefix + sessionConfig, prefix + heartbeatConfig}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, ask)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for i := range resp.Resources {
		if err := kerr.ErrorForCode(resp.Resources[i].ErrorCode); err != nil {
			return err
		}
		for _, config := range resp.Resources[i].Configs {
			at := config.Name[min(len(prefix), len(config.Name)):]
			if _, known := times[at]; known || config.Value == nil {
				continue
			}
			if ms, err := strconv.Atoi(*config.Value); err == nil && ms > 0 {
				times[at] = time.Duration(ms) * time.Millisecond
			}
		}
	}
	return nil
}
