package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupProtocol says who assigns a group's partitions to its members, as Kafka's group.protocol does.
type GroupProtocol string

const (
	// ProtocolClassic: the members do, by way of their leader, which gives a partition to whoever has its state. The session timeout is
	// the member's.
	ProtocolClassic GroupProtocol = "classic"
	// ProtocolConsumer: the group's coordinator does (KIP-848), and nobody waits for anybody else to join. It knows nothing of anybody's state; the session
	// timeout is its own. It takes Kafka 4.0 or later.
	ProtocolConsumer GroupProtocol = "consumer"
)

func (p GroupProtocol) validate() error {
	return oneOf("group_protocol", p, ProtocolClassic, ProtocolConsumer)
}

// leastHeartbeat is the version of the heartbeat from which on the client speaks the protocol: Kafka 4.0's.
const leastHeartbeat = 1

// checkProtocol asks whether the brokers speak ProtocolConsumer. The client would go on with the classic protocol without a word, with another
// session timeout and another assignment than the configuration says. What is not told here (a broker that offers the requests, and refuses
// them) shows when the client joins: see heartbeats.
func (m *member) checkProtocol(ctx context.Context, cl *kgo.Client) error {
	if m.cfg.GroupProtocol != ProtocolConsumer {
		return nil
	}
	brokers, err := kadm.NewClient(cl).ApiVersions(ctx)
	if err != nil {
		m.log.Info("the brokers' versions are not known: whether they speak the group protocol shows when the group is joined", "cause", err)
		return nil
	}
	for _, b := range brokers {
		if most, ok := b.KeyMaxVersion(int16(kmsg.ConsumerGroupHeartbeat)); b.Err == nil && (!ok || most < leastHeartbeat) {
			return &ProtocolError{Group: m.cfg.Group, Reason: fmt.Sprintf("broker %d does not speak that protocol", b.NodeID)}
		}
	}
	session, interval, _, err := groupTimes(ctx, cl, m.cfg.Group)
	if err != nil {
		return nil // asked again, until it is answered, while the member runs
	}
	return m.checkTimes(session, interval)
}

// beforeJoin looks at what has to be known before the group is joined, where Preflight was not called, or something has changed since.
func (m *member) beforeJoin(ctx context.Context) error {
	if m.scope == nil && m.cfg.GroupProtocol != ProtocolConsumer {
		return nil
	}
	return m.ask(ctx, func(ctx context.Context, cl *kgo.Client) error {
		if err := m.checkProtocol(ctx, cl); err != nil {
			return err
		}
		return m.checkAlone(ctx, kadm.NewClient(cl))
	})
}
