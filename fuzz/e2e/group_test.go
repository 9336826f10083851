package e2e

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// seat is a member of a group, as the brokers tell of it.
type seat struct {
	instance   string
	partitions int
}

// seats gives the members of a group, whichever protocol it has, and the group's state.
func (b *broker) seats(group string) (seats []seat, state string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	sit := func(instance *string, partitions int) {
		if instance == nil {
			instance = new(string)
		}
		seats = append(seats, seat{*instance, partitions})
	}
	assigned, err := b.adm.DescribeConsumerGroups(ctx, group)
	g := assigned[group]
	if err == nil && g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) && !errors.Is(g.Err, kerr.UnsupportedVersion) {
		return nil, "", g.Err // it may pass
	}
	if err == nil && g.Err == nil {
		for _, m := range g.Members {
			n := 0
			for _, parts := range m.Assignment {
				n += len(parts)
			}
			sit(m.InstanceID, n)
		}
		return seats, g.State, nil
	}
	// A classic group, or brokers that know no other ones.
	classic, err := b.adm.DescribeGroups(ctx, group)
	if err == nil {
		err = classic[group].Err
	}
	for _, m := range classic[group].Members {
		n := 0
		if parts, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range parts.Topics {
				n += len(topic.Partitions)
			}
		}
		sit(m.InstanceID, n)
	}
	return seats, classic[group].State, err
}

// isMember says whether a member with that instance id is in the group.
func (b *broker) isMember(group, instance string) (bool, error) {
	seats, _, err := b.seats(group)
	return slices.ContainsFunc(seats, func(s seat) bool { return s.instance == instance }), err
}

// shares gives the number of partitions of each member that has some, in ascending order; nothing while they are being shared out.
func (b *broker) shares(group string) (shares []int, err error) {
	seats, state, err := b.seats(group)
	if err != nil || state != "Stable" {
		return nil, err
	}
	for _, s := range seats {
		if s.partitions > 0 {
			shares = append(shares, s.partitions)
		}
	}
	slices.Sort(shares)
	return shares, nil
}

// configureGroup sets what the brokers decide in a group that they assign.
func (b *broker) configureGroup(t *testing.T, group string, configs ...string) {
	cl, err := b.client()
	require.NoError(t, err)
	defer cl.Close()
	rc := kmsg.NewIncrementalAlterConfigsRequestResource()
	rc.ResourceType, rc.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		rc.Configs = append(rc.Configs, c)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, rc)
	resp, err := req.RequestWith(context.Background(), cl)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(resp.Resources[0].ErrorCode), "the broker must allow a group a short session: group.consumer.min.session.timeout.ms, "+
		"group.consumer.min.heartbeat.interval.ms")
}
