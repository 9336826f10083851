package kafka

import (
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/engine"
)

// warmProtocol is the name of our assignment in the group. It changes when members of two versions would not mean the
// same by it; what a member tells of its state has a version of its own.
const warmProtocol = "noecho-warm"

const (
	warmSteps = 64      // in which warmth is measured
	maxPairs  = 1 << 22 // partitions times members for which we look for the best: above, the client's own balancer is quick
)

// warmBalancer gives partitions to the members that have their state. It is cooperative-sticky but for the leader's choice.
//
// Sticky assignment knows who has a partition, and not who had it. When a member comes back after its session has expired
// it owns nothing, and gets any partitions: its own are the right ones in one case of many, and all the others start
// without a memory. So each member tells the leader, with its subscription, which offsets of which partitions its store knows.
//
// The leader balances first: no member has two partitions more than another. Then it keeps what is known: see warmth.
// Then it keeps partitions where they are. What has to move from one member to another is given to nobody until
// the next round, when the old owner has drained it, as the cooperative protocol demands.
//
// A group uses a protocol that all of its members offer. The relay offers this one and, after it, plain cooperative-sticky,
// which a group falls back to while a member of another kind (a relay of an earlier version) is in it.
type warmBalancer struct {
	kgo.GroupBalancer // cooperative-sticky

	topic  string
	known  func() []engine.Coverage
	rejoin func() // has the group balance again

	// unused is what MemberBalancer returned and Balance did not get yet; nil: nothing. Owned by the client's group goroutine.
	unused *kgo.ConsumerBalancer
}

// balancers returns what the member offers to its group, the preferred one first.
func (m *member) balancers() []kgo.GroupBalancer {
	plain := kgo.CooperativeStickyBalancer()
	rejoin := func() {
		<-m.connected
		m.cl.ForceRebalance()
	}
	known := func() []engine.Coverage {
		if m.bypass.Load() {
			return nil // the store is left alone, and what it knows is of no use here
		}
		return m.store.Coverages()
	}
	return m.mustBeAlone([]kgo.GroupBalancer{&warmBalancer{GroupBalancer: plain, topic: m.cfg.Input, known: known, rejoin: rejoin}, plain})
}

// ProtocolName implements kgo.GroupBalancer.
func (*warmBalancer) ProtocolName() string { return warmProtocol }

// JoinGroupMetadata implements kgo.GroupBalancer: the subscription of cooperative-sticky, with our user data. It differs
// with every join, which the group does not mind: a member joins only to have the partitions assigned anew.
func (b *warmBalancer) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	b.unused = nil
	plain := b.GroupBalancer.JoinGroupMetadata(topics, current, generation)
	return withUserData(plain, encodeWarm(nil, b.topic, b.known()))
}

// withUserData returns the subscription with other user data; as it is, if it cannot be read.
func withUserData(subscription, data []byte) []byte {
	var meta kmsg.ConsumerMemberMetadata
	if meta.ReadFrom(subscription) != nil {
		return subscription
	}
	meta.UserData = data
	return meta.AppendTo(nil)
}

// MemberBalancer implements kgo.GroupBalancer.
func (b *warmBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	alike := true
	cb.EachMember(func(_ *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		alike = alike && slices.Equal(meta.Topics, []string{b.topic})
	})
	if alike && len(cb.Members()) > 0 {
		b.unused = cb
		return cb, cb.MemberTopics(), nil
	}
	// Some read other topics: what is balanced then is a question that the client has an answer to. It must not take our
	// user data for its own.
	others := slices.Clone(members)
	for i := range others {
		others[i].ProtocolMetadata = withUserData(others[i].ProtocolMetadata, nil)
	}
	return b.GroupBalancer.MemberBalancer(others)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
//
// A static member that restarts gets its old assignment, and the leader too: it is told not to balance (KIP-814). Partitions that
// were added to the topic meanwhile would then wait for the next rebalance, which may never come. For its own balancers the
// client works out the plan all the same, and joins again if the plan gives this member something else; for others it
// cannot, so we do.
func (b *warmBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	got, err := b.GroupBalancer.ParseSyncAssignment(assignment)
	cb := b.unused
	b.unused = nil
	if err != nil || cb == nil {
		return got, err
	}
	topic, ok := cb.Info().Topics()[b.topic]
	if !ok || topic.Err != nil {
		return got, nil
	}
	into := b.Balance(cb, map[string]int32{b.topic: int32(len(topic.Partitions))})
	if into == nil {
		return got, nil
	}
	for _, a := range into.IntoSyncAssignment() {
		if a.MemberID != cb.Info().LeaderID {
			continue
		}
		if want, err := b.GroupBalancer.ParseSyncAssignment(a.MemberAssignment); err == nil && !sameParts(want[b.topic], got[b.topic]) {
			b.rejoin()
		}
	}
	return got, nil
}

func sameParts(a, b []int32) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// Balance implements kgo.ConsumerBalancerBalance. All members read our topic, and no other.
func (b *warmBalancer) Balance(cb *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	b.unused = nil
	parts := int(topics[b.topic])
	members := len(cb.Members())
	plan := cb.NewPlan()
	if parts > maxPairs/members {
		return b.plainBalance(cb, topics)
	}
	for part, i := range place(parts, members, costs(cb, b.topic, parts)) {
		member, _ := cb.MemberAt(i)
		plan.AddPartition(member, b.topic, int32(part))
	}
	plan.AdjustCooperative(cb)
	return plan
}

// plainBalance has the client balance.
func (b *warmBalancer) plainBalance(cb *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	members := slices.Clone(cb.Members())
	for i := range members {
		members[i].ProtocolMetadata = withUserData(members[i].ProtocolMetadata, nil)
	}
	plain, _, err := b.GroupBalancer.MemberBalancer(members)
	if err == nil {
		var into kgo.IntoSyncAssignment
		if into, err = plain.(kgo.GroupMemberBalancerOrError).BalanceOrError(topics); err == nil {
			return into
		}
	}
	cb.SetError(err)
	return nil
}

// costs returns what each partition costs at each member: the warmth that is lost there, and, less than any warmth, a
// move.
func costs(cb *kgo.ConsumerBalancer, topic string, parts int) []int64 {
	members := len(cb.Members())
	known, owned := make([]coverage, parts*members), make([]bool, parts*members)
	latest := make([]int32, parts) // generation of the latest claim to own the partition
	for part := range latest {
		latest[part] = math.MinInt32
	}
	i := 0
	cb.EachMember(func(_ *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		warm, _ := decodeWarm(meta.UserData)
		for part, c := range warm {
			if int(part) < parts {
				known[int(part)*members+i] = c
			}
		}
		for _, o := range meta.OwnedPartitions {
			for _, part := range o.Partitions {
				if o.Topic != topic || part < 0 || int(part) >= parts || meta.Generation < latest[part] {
					continue
				}
				row := owned[int(part)*members : (int(part)+1)*members]
				if meta.Generation > latest[part] { // a member that has missed rebalances may claim what is no more its own
					latest[part] = meta.Generation
					clear(row)
				}
				row[i] = true
			}
		}
		i++
	})
	cost := make([]int64, parts*members)
	for part := range parts {
		from, to := part*members, (part+1)*members
		for i, w := range warmth(known[from:to]) {
			// All moves together weigh less than one step of warmth.
			cost[from+i] = (warmSteps - w) * int64(parts+1)
			if !owned[from+i] {
				cost[from+i]++
			}
		}
	}
	return cost
}

// warmth says how much of what can be known of a partition each member knows, from nothing, 0, to warmSteps.
//
// The last offset alone says too little. While a member is away, another one takes its partition and reads on: from then
// on that one knows the last offset, and little else. So we look at a stretch of offsets up to the last that anybody knows, as
// wide as the widest that anybody knows, which is what the window holds, and count what of it each one knows. It is
// counted roughly, so that a few records more or less move nothing.
func warmth(known []coverage) []int64 {
	var last, width int64
	for _, c := range known {
		last, width = max(last, c.to), max(width, c.to-c.low)
	}
	w := make([]int64, len(known))
	for i, c := range known {
		if share := c.to - max(c.low, last-width); share > 0 {
			w[i] = int64(math.Ceil(float64(share) / float64(width) * warmSteps))
		}
	}
	return w
}
