package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// TestProtocolRefused: where the brokers do not speak the protocol, whoever asks for it hears so, at the start.
func TestProtocolRefused(t *testing.T) {
	refused := (*ProtocolError)(nil)
	t.Run("old brokers", func(t *testing.T) {
		w := newAssignedWorld(t, 1, kfake.MaxVersions(kversion.V3_6_0()))
		require.ErrorAs(t, w.preflight(w.edit), &refused)
		require.ErrorContains(t, refused, "set group_protocol to classic")
		l := w.start(nil, nil)
		<-l.done
		require.ErrorAs(t, l.err, &refused)
		require.NoError(t, l.e.Close())
		w.edit = nil
		w.start(nil, nil).stop()
	})
	t.Run("switched off", func(t *testing.T) {
		w := newAssignedWorld(t, 1)
		w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ConsumerGroupHeartbeat}, Err: kerr.UnsupportedVersion, Count: -1})
		var log bytes.Buffer
		l := w.start(nil, func(cfg *RelayConfig) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		<-l.done
		require.ErrorAs(t, l.err, &refused)
		require.NotContains(t, log.String(), "was not told of the stop")
	})
	t.Run("kept away by the caller", func(t *testing.T) {
		w := newAssignedWorld(t, 1)
		l := w.start(nil, func(cfg *RelayConfig) { cfg.Client = append(cfg.Client, kgo.MaxVersions(kversion.V3_6_0())) })
		<-l.done
		require.ErrorAs(t, l.err, &refused)
	})
}

func TestProtocolConfig(t *testing.T) {
	w := newAssignedWorld(t, 1)
	config := (*ConfigError)(nil)
	err := w.preflight(func(cfg *RelayConfig) { w.edit(cfg); cfg.SessionTimeout = time.Minute })
	require.ErrorAs(t, err, &config)
	require.ErrorContains(t, err, "session_timeout is the brokers'")
	err = w.preflight(func(cfg *RelayConfig) { cfg.GroupProtocol = "modern" })
	require.ErrorAs(t, err, &config)
	require.ErrorContains(t, err, `group_protocol "modern" is none of classic, consumer`)
	require.NoError(t, w.preflight(w.edit))

	group := (*GroupError)(nil)
	err = w.preflight(func(cfg *RelayConfig) { w.edit(cfg); cfg.RebalanceTimeout = 100*time.Millisecond - 1 })
	require.ErrorAs(t, err, &config)
	w.groupConfig("consumer.session.timeout.ms", "99")
	err = w.preflight(w.edit)
	require.ErrorAs(t, err, &group)
	require.ErrorContains(t, err, "set consumer.heartbeat.interval.ms of the group to 19 or less")
	l := w.start(nil, nil)
	<-l.done
	require.ErrorAs(t, l.err, &group)
}

// groupConfig sets a configuration of the group.
func (w *world) groupConfig(name, value string) {
	w.t.Helper()
	rc := kmsg.NewIncrementalAlterConfigsRequestResource()
	rc.ResourceType, rc.ResourceName = kmsg.ConfigResourceTypeGroupConfig, testGroup
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = name, &value
	rc.Configs = append(rc.Configs, c)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, rc)
	resp, err := req.RequestWith(tContext(w.t), w.cl)
	require.NoError(w.t, err)
	require.NoError(w.t, kerr.ErrorForCode(resp.Resources[0].ErrorCode))
}

// TestGroupTimes: the group's own, else the broker's.
func TestGroupTimes(t *testing.T) {
	w := newAssignedWorld(t, 1)
	session, interval, guessed, err := groupTimes(t.Context(), w.cl, testGroup)
	require.NoError(t, err)
	require.NoError(t, guessed)
	require.Equal(t, []time.Duration{testSession, 20 * time.Millisecond}, []time.Duration{session, interval})
	w.groupConfig("consumer.session.timeout.ms", "700")
	session, interval, guessed, err = groupTimes(t.Context(), w.cl, testGroup)
	require.NoError(t, err)
	require.NoError(t, guessed)
	require.Equal(t, []time.Duration{700 * time.Millisecond, 20 * time.Millisecond}, []time.Duration{session, interval})
}

// answerConfigs answers questions for configurations of one kind of resource: with an error, or else with those values.
func (w *world) answerConfigs(kind kmsg.ConfigResourceType, refuse *kerr.Error, values map[string]string) {
	w.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.DescribeConfigsRequest)
		if len(req.Resources) != 1 || req.Resources[0].ResourceType != kind {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = kind, req.Resources[0].ResourceName
		if refuse != nil {
			rr.ErrorCode = refuse.Code
		}
		for name, value := range values {
			c := kmsg.NewDescribeConfigsResponseResourceConfig()
			c.Name, c.Value = name, &value
			rr.Configs = append(rr.Configs, c)
		}
		resp.Resources = append(resp.Resources, rr)
		return resp, nil, true
	})
}

// TestGroupTimesHidden: who may read the brokers' configuration and not the group's, which may have a shorter session, assumes no more than is usual.
func TestGroupTimesHidden(t *testing.T) {
	const session, beat = "group.consumer.session.timeout.ms", "group.consumer.heartbeat.interval.ms"
	for brokers, want := range map[string]time.Duration{"60000": usualSession, "20000": 20 * time.Second} {
		w := newAssignedWorld(t, 1)
		w.answerConfigs(kmsg.ConfigResourceTypeGroupConfig, kerr.GroupAuthorizationFailed, nil)
		w.answerConfigs(kmsg.ConfigResourceTypeBroker, nil, map[string]string{session: brokers, beat: "3000"})
		got, interval, guessed, err := groupTimes(t.Context(), w.cl, testGroup)
		require.NoError(t, err)
		require.ErrorIs(t, guessed, kerr.GroupAuthorizationFailed)
		require.Equal(t, want, got)
		require.Equal(t, 3*time.Second, interval)
	}
	// An error that may pass is none of these.
	w := newAssignedWorld(t, 1)
	w.answerConfigs(kmsg.ConfigResourceTypeGroupConfig, kerr.UnknownServerError, nil)
	_, _, guessed, err := groupTimes(t.Context(), w.cl, testGroup)
	require.NoError(t, guessed)
	require.ErrorIs(t, err, kerr.UnknownServerError)
}

// TestSessionUnknown: who may not ask assumes what is usual, and runs.
func TestSessionUnknown(t *testing.T) {
	w := newAssignedWorld(t, 1)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, func(cfg *RelayConfig) { cfg.RebalanceTimeout = time.Minute })
	l.settle()
	require.Equal(t, usualSession, l.relay.Stats().SessionTimeout)
	require.True(t, l.relay.Stats().SessionAssumed)
	l.stop()
	w.requireClean()
}

// TestInstanceTwice: of two processes with one instance id the first goes on, and the second ends when it has waited in vain.
func TestInstanceTwice(t *testing.T) {
	w := newAssignedWorld(t, 2)
	w.feed(rec(0, "a", "1"))
	a := w.start(nil, named("same"))
	a.settle()
	b := w.process().start(nil, named("same"))
	<-b.done
	fenced := (*FencedError)(nil)
	require.ErrorAs(t, b.err, &fenced)
	require.ErrorIs(t, b.err, kerr.UnreleasedInstanceID)
	w.feed(rec(0, "b", "1"), rec(1, "b", "1"))
	a.settle()
	a.stop()
	w.requireClean()
}

// TestInstanceTwiceTransactional: who writes in transactions takes over those of its name before it joins. So the first ends, when it next writes,
// and leaves; the second goes on.
func TestInstanceTwiceTransactional(t *testing.T) {
	w := newAssignedWorld(t, 2)
	w.txn = true
	w.feed(rec(0, "a", "1"))
	there := w.process()
	a := w.start(nil, named("same"))
	a.settle()
	b := there.start(nil, named("same"))
	n := 0
	w.eventually("the second has the name", func() bool {
		select {
		case <-a.done:
			return true
		default:
			n++
			w.feed(rec(0, fmt.Sprint("b", n), "1"), rec(1, fmt.Sprint("b", n), "1"))
			return false
		}
	})
	fenced := (*TransactionError)(nil)
	require.ErrorAs(t, a.err, &fenced)
	b.settle()
	b.stop()
	w.requireClean()
}
