package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// With ScopeTopic a member is alone in its group, or the marks of some partitions are in another store. A newcomer looks before it
// joins, and refuses itself: a second replica, started by accident, must not stop the first. What joins all the same is seen by the
// group's leader (there is none with ProtocolConsumer), by who has to give up partitions, or by who waits in vain for those it lacks (gather).

// checkAlone asks for the group's members. What the broker does not tell is no error: the leader will see.
func (m *member) checkAlone(ctx context.Context, adm *kadm.Client) error {
	if m.scope == nil {
		return nil
	}
	others, err := m.groupMembers(ctx, adm)
	if err != nil {
		m.log.Info("the group's members are not known: another one is refused when it joins", "group", m.cfg.Group, "cause", err)
		return nil
	}
	for _, other := range others {
		if other.instance == nil || *other.instance != m.cfg.InstanceID {
			return m.notAlone(fmt.Sprintf("the group has another member (client id %q, host %s)", other.client, other.host))
		}
	}
	return nil
}

// groupMember is a member of our group, in the coordinator's words.
type groupMember struct {
	instance     *string // nil: it has no instance id
	client, host string
}

// groupMembers asks for the members of the group. The coordinator has it as one of either protocol, whichever its members speak, and
// says of the other one that there is no such group; brokers before Kafka 3.7 know one protocol only.
func (m *member) groupMembers(ctx context.Context, adm *kadm.Client) (all []groupMember, err error) {
	classic, err := adm.DescribeGroups(ctx, m.cfg.Group)
	group := classic[m.cfg.Group]
	if err == nil {
		err = group.Err
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, err
	}
	for _, other := range group.Members {
		all = append(all, groupMember{other.InstanceID, other.ClientID, other.ClientHost})
	}
	consumer, err := adm.DescribeConsumerGroups(ctx, m.cfg.Group)
	assigned := consumer[m.cfg.Group]
	if err == nil {
		err = assigned.Err
	}
	if err != nil && m.cfg.GroupProtocol == ProtocolConsumer && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, err
	}
	for _, other := range assigned.Members {
		all = append(all, groupMember{other.InstanceID, other.ClientID, other.ClientHost})
	}
	return all, nil
}

func (m *member) notAlone(reason string) error {
	return &ScopeError{Topic: m.cfg.Input, Group: m.cfg.Group, Reason: reason}
}

// aloneBalancer is a balancer whose member has to be alone: it says so when it leads a group in which it is not.
type aloneBalancer struct {
	kgo.GroupBalancer
	m *member
}

// MemberBalancer implements kgo.GroupBalancer.
func (b *aloneBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	if len(members) > 1 {
		err := b.m.notAlone(fmt.Sprintf("%d members have joined the group", len(members)))
		b.m.fail(err)
		return nil, nil, err
	}
	return b.GroupBalancer.MemberBalancer(members)
}

// mustBeAlone wraps the balancers of a member that has to be.
func (m *member) mustBeAlone(balancers []kgo.GroupBalancer) []kgo.GroupBalancer {
	if m.scope == nil {
		return balancers
	}
	alone := make([]kgo.GroupBalancer, len(balancers))
	for i, b := range balancers {
		alone[i] = &aloneBalancer{b, m}
	}
	return alone
}
