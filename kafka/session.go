package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	sessionRetry     = 5 * time.Second
	// What they are where nothing is set. Without the right to ask they are assumed: the brokers do not let a group have a shorter session
	// unless they are told to (group.consumer.min.session.timeout.ms).
	usualSession, usualHeartbeat = 45 * time.Second, 5 * time.Second
	// beatsInSession is how many heartbeats must at least fit into a session. The lease reaches back three of them: see heartbeats.
	beatsInSession = 5
)

// groupSession keeps the lease to the session timeout that the coordinator uses. Owned by keepLease.
type groupSession struct {
	m      *member
	next   time.Time // when it is asked for
	said   bool      // that we may not ask
	failed bool      // the last question had no answer
}

// look asks for it when it is time to.
func (s *groupSession) look(ctx context.Context) {
	if time.Now().Before(s.next) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	session, interval, guessed, err := groupTimes(ctx, s.m.cl, s.m.cfg.Group)
	known := s.m.lease.sessionTimeout()
	if err != nil {
		// The lease goes on by what is known, or does not begin.
		if !s.failed && ctx.Err() == nil {
			s.m.log.Info("the group's session timeout could not be read now; asking again", "group", s.m.cfg.Group, "cause", err)
		}
		s.failed = true
		if known > 0 {
			s.next = time.Now().Add(sessionRetry)
		}
		return
	}
	s.failed, s.next = false, time.Now().Add(sessionReadEvery)
	if guessed != nil {
		if known > 0 {
			session = min(session, known) // it may have been read, by the rights of then
		}
		if !s.said {
			s.said = true
			s.m.log.Warn("the group's session timeout is not known, and taken for the brokers' or the usual one, whichever is shorter: allow noecho's user DESCRIBE_CONFIGS on the group",
				"group", s.m.cfg.Group, "session_timeout", session, "cause", guessed)
		}
	}
	if err := s.m.checkTimes(session, interval); err != nil {
		s.m.fail(err)
		return
	}
	s.m.lease.assumed.Store(guessed != nil)
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

// groupTimes asks for the session timeout and the heartbeats' interval that a group's coordinator uses. guessed is why they are not the
// group's own: we may not read those. The session is then the shorter of the brokers' and the usual one, for a lease that is too short costs
// availability, and one that is too long lets two members act.
func groupTimes(ctx context.Context, cl *kgo.Client, group string) (session, interval time.Duration, guessed, err error) {
	times, guessed := resourceTimes(ctx, cl, kmsg.ConfigResourceTypeGroupConfig, group, "consumer.")
	if guessed != nil && !mayNotRead(guessed) {
		return 0, 0, nil, guessed
	}
	session, interval = times[sessionConfig], times[heartbeatConfig]
	if session > 0 && interval > 0 {
		return session, interval, nil, nil
	}
	// Not allowed, or what is not set for the group is not told.
	ofBrokers, beats, err := brokerTimes(ctx, cl)
	if err != nil && mayNotRead(err) {
		ofBrokers, beats, guessed = usualSession, usualHeartbeat, cmp.Or(guessed, err)
	} else if err != nil {
		return 0, 0, nil, err
	}
	if guessed != nil {
		ofBrokers = min(ofBrokers, usualSession)
	}
	return cmp.Or(session, ofBrokers), cmp.Or(interval, beats), guessed, nil
}

// brokerTimes are those of the brokers: where they differ, the shortest session and the longest interval. The coordinator's would do, but asking for
// the coordinator is what the client does where a heartbeat was refused, and heartbeats take it for that.
func brokerTimes(ctx context.Context, cl *kgo.Client) (session, interval time.Duration, err error) {
	brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = kerr.InvalidConfig // nobody tells
	for _, b := range brokers {
		times, failed := resourceTimes(ctx, cl, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.NodeID)), "group.consumer.")
		if failed != nil {
			err = failed
			continue // one that is down tells nothing, and is no coordinator
		}
		if at := times[sessionConfig]; at > 0 && (session == 0 || at < session) {
			session = at
		}
		interval = max(interval, times[heartbeatConfig])
	}
	if session > 0 && interval > 0 {
		return session, interval, nil
	}
	return 0, 0, err
}

// mayNotRead tells errors that will not pass from those that may.
func mayNotRead(err error) bool {
	for _, word := range []error{kerr.ClusterAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.InvalidRequest, kerr.InvalidConfig, kerr.UnsupportedVersion} {
		if errors.Is(err, word) {
			return true
		}
	}
	return false
}

const sessionConfig, heartbeatConfig = "session.timeout.ms", "heartbeat.interval.ms"

// resourceTimes are those that a resource has.
func resourceTimes(ctx context.Context, cl *kgo.Client, kind kmsg.ConfigResourceType, name, prefix string) (map[string]time.Duration, error) {
	ask := kmsg.NewDescribeConfigsRequestResource()
	ask.ResourceType, ask.ResourceName = kind, name
	ask.ConfigNames = []string{prefix + sessionConfig, prefix + heartbeatConfig}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, ask)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	times := make(map[string]time.Duration)
	for i := range resp.Resources {
		if err := kerr.ErrorForCode(resp.Resources[i].ErrorCode); err != nil {
			return nil, err
		}
		for _, config := range resp.Resources[i].Configs {
			if config.Value == nil {
				continue
			}
			if ms, err := strconv.Atoi(*config.Value); err == nil && ms > 0 {
				times[strings.TrimPrefix(config.Name, prefix)] = time.Duration(ms) * time.Millisecond
			}
		}
	}
	return times, nil
}
