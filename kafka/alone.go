package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// With ScopeTopic a member is alone in its group, or the marks of some partitions are in another store. A newcomer looks before it
// joins, and refuses itself: a second replica, started by accident, must not stop the first. What joins all the same is seen by the
// group's leader, by who has to give up partitions, or by who waits in vain for those it lacks (gather).

// checkAlone asks for the group's members. What the broker does not tell is no error: the leader will see.
func (m *member) checkAlone(ctx context.Context, adm *kadm.Client) error {
	if m.scope == nil {
		return nil
	}
	groups, err := adm.DescribeGroups(ctx, m.cfg.Group)
	group := groups[m.cfg.Group]
	if err == nil {
		err = group.Err
	}
	if err != nil {
		m.log.Info("the group's members are not known: another one is refused when it joins", "group", m.cfg.Group, "cause", err)
		return nil
	}
	for _, other := range group.Members {
		if other.InstanceID == nil || *other.InstanceID != m.cfg.InstanceID {
			return m.notAlone(fmt.Sprintf("the group has another member (client id %q, host %s)", other.ClientID, other.ClientHost))
		}
	}
	return nil
}

// joinAlone is checkAlone where Preflight was not called, or somebody came since.
func (m *member) joinAlone(ctx context.Context) error {
	if m.scope == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	cl, err := kgo.NewClient(m.cfg.Client...)
	if err != nil {
		return &ConfigError{Problems: []string{"client: " + err.Error()}}
	}
	defer cl.Close()
	return m.checkAlone(ctx, kadm.NewClient(cl))
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
