package kafka

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// beating is the client's side of the hook: what it tells, in the order in which it does.
type beating struct {
	h *heartbeats
}

func newBeating(session, rebalance time.Duration) (*beating, *lease) {
	l := &lease{}
	l.init(rebalance)
	l.limit(session)
	return &beating{newHeartbeats(l, func() {})}, l
}

func (b *beating) tell(key kmsg.Key, err error) {
	b.h.OnBrokerWrite(kgo.BrokerMetadata{}, int16(key), 0, 0, 0, nil)
	b.h.OnBrokerE2E(kgo.BrokerMetadata{}, int16(key), kgo.BrokerE2E{ReadErr: err})
}

// beat sends a heartbeat that is answered.
func (b *beating) beat() { b.tell(kmsg.ConsumerGroupHeartbeat, nil) }

// age has all that was told be longer ago.
func (b *beating) age(d time.Duration) {
	b.h.answered, b.h.since = b.h.answered.Add(-d), b.h.since.Add(-d)
	for _, p := range []interface {
		Load() *time.Time
		Store(*time.Time)
	}{&b.h.lease.proof, &b.h.lease.ordered} {
		if at := p.Load(); at != nil {
			older := at.Add(-d)
			p.Store(&older)
		}
	}
	if !b.h.returned.IsZero() {
		b.h.returned = b.h.returned.Add(-d)
	}
}

// TestHeartbeatsJoin: the answer that assigns is believed when it is handed over.
func TestHeartbeatsJoin(t *testing.T) {
	b, l := newBeating(time.Hour, time.Hour)
	b.beat()
	require.False(t, l.holds(), "nobody knows what the answer says")
	b.h.believe()
	require.True(t, l.holds())
}

// TestHeartbeatsNotBelieved: answers that may say that the member is none of the group's do not renew, also when a heartbeat is sent after.
func TestHeartbeatsNotBelieved(t *testing.T) {
	for name, then := range map[string]func(*beating){
		"given up":     func(b *beating) { b.h.lost() },
		"wrong broker": func(b *beating) { b.tell(kmsg.FindCoordinator, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			b, l := newBeating(time.Hour, time.Hour)
			b.beat()
			then(b)
			b.tell(kmsg.ConsumerGroupHeartbeat, errors.New("cut"))
			require.False(t, l.holds())
			b.h.believe()
			require.False(t, l.holds(), "there was no answer")
		})
	}
	b, l := newBeating(time.Hour, time.Hour)
	b.beat()
	b.tell(kmsg.OffsetCommit, nil)
	b.tell(kmsg.Fetch, nil)
	require.False(t, l.holds(), "other requests say nothing of it")
	b.tell(kmsg.ConsumerGroupHeartbeat, errors.New("cut"))
	require.True(t, l.holds(), "the client went on as a member")
}

// TestHeartbeatsReachBack: an answer says that its request was sent after the answer before it, and no more. A process that was frozen
// with the answer unread does not take it for a new one.
func TestHeartbeatsReachBack(t *testing.T) {
	b, l := newBeating(time.Hour, time.Hour)
	b.beat()
	b.beat()
	require.True(t, l.holds())
	b.h.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.ConsumerGroupHeartbeat), 0, 0, 0, nil)
	b.age(2 * time.Hour)                                                                       // frozen here
	require.False(t, l.holds())                                                                // knows by the clock
	b.h.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.ConsumerGroupHeartbeat), kgo.BrokerE2E{}) // the old answer
	require.False(t, l.holds())
	b.beat() // sends the next, so the old answer is believed: it proves the time before the freeze
	require.False(t, l.holds())
	waits := l.held()
	b.beat() // and this one proves the time since
	require.True(t, l.holds())
	<-waits
}

// TestHeartbeatsFenced: a process wakes, and is told with the first answer that it was given up. It acts on nothing before it is assigned anew.
func TestHeartbeatsFenced(t *testing.T) {
	b, l := newBeating(time.Hour, time.Hour)
	b.beat()
	b.beat()
	b.beat()
	b.age(2 * time.Hour)
	waits := l.held()
	b.beat() // answered: fenced
	require.False(t, l.holds())
	b.h.lost()
	b.beat() // joins
	require.False(t, l.holds())
	b.h.believe()
	require.True(t, l.holds())
	<-waits
}

// TestHeartbeatsOrder: a coordinator that waits for partitions gives the member up after the rebalance timeout, however often it answers.
func TestHeartbeatsOrder(t *testing.T) {
	b, l := newBeating(10*time.Hour, time.Hour)
	b.beat()
	b.beat()
	b.h.ordered()
	b.age(50 * time.Minute)
	b.beat()
	b.beat()
	require.True(t, l.holds())
	b.age(10 * time.Minute)
	b.beat()
	b.beat()
	b.beat()
	require.False(t, l.holds(), "the member is given up")
	b.h.obeyed()
	b.beat() // says so
	require.False(t, l.holds())
	b.beat()
	b.beat() // answered after it was said
	b.beat()
	require.True(t, l.holds())
}

// TestHeartbeatsFallBack: the classic protocol is not gone over to in silence.
func TestHeartbeatsFallBack(t *testing.T) {
	told := 0
	h := newHeartbeats(&lease{}, func() { told++ })
	h.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.OffsetCommit), 0, 0, 0, nil)
	require.Zero(t, told)
	h.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.JoinGroup), 0, 0, 0, nil)
	require.Equal(t, 1, told)
}
