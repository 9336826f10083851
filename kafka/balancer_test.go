package kafka

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"noecho/engine"
)

// peer is a member of a group as the leader sees it.
type peer struct {
	id         string
	generation int32
	owned      []int32
	warm       map[int32]coverage
	data       []byte   // user data, instead of warm
	topics     []string // besides testIn
}

func (p *peer) join() kmsg.JoinGroupResponseMember {
	m := kmsg.NewJoinGroupResponseMember()
	m.MemberID = p.id
	b := &warmBalancer{GroupBalancer: kgo.CooperativeStickyBalancer(), topic: testIn, known: func() (cs []engine.Coverage) {
		for part, c := range p.warm {
			cs = append(cs, engine.Coverage{Topic: testIn, Partition: part, Low: c.low, To: c.to})
		}
		return cs
	}}
	current := map[string][]int32{}
	if len(p.owned) > 0 {
		current[testIn] = slices.Sorted(slices.Values(p.owned))
	}
	topics := append([]string{testIn}, p.topics...)
	slices.Sort(topics)
	m.ProtocolMetadata = b.JoinGroupMetadata(topics, current, p.generation)
	if p.data != nil {
		m.ProtocolMetadata = withUserData(m.ProtocolMetadata, p.data)
	}
	return m
}

// balance has a leader give the partitions to the peers.
func balance(t require.TestingT, parts int32, peers ...*peer) map[string][]int32 {
	var members []kmsg.JoinGroupResponseMember
	for _, p := range peers {
		members = append(members, p.join())
	}
	b := &warmBalancer{GroupBalancer: kgo.CooperativeStickyBalancer(), topic: testIn}
	mb, topics, err := b.MemberBalancer(members)
	require.NoError(t, err)
	require.Contains(t, topics, testIn)
	into, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(map[string]int32{testIn: parts, "other": parts})
	require.NoError(t, err)
	got := make(map[string][]int32)
	for _, a := range into.IntoSyncAssignment() {
		assigned, err := b.ParseSyncAssignment(a.MemberAssignment)
		require.NoError(t, err)
		got[a.MemberID] = assigned[testIn]
	}
	return got
}

// rounds balances until nothing waits to be revoked, as a group does, and checks what must hold on the way.
func rounds(t require.TestingT, parts int32, peers ...*peer) map[string][]int32 {
	for round := int32(0); ; round++ {
		got := balance(t, parts, peers...)
		require.Equal(t, got, balance(t, parts, peers...), "deterministic")
		given := make(map[int32]string)
		for id, ps := range got {
			for _, part := range ps {
				require.NotContains(t, given, part, "partition %d is given to %s and %s", part, given[part], id)
				require.True(t, part >= 0 && part < parts)
				given[part] = id
			}
		}
		claims, latest := make(map[int32][]string), make(map[int32]int32)
		for _, p := range peers {
			for _, part := range p.owned {
				if len(claims[part]) == 0 || p.generation > latest[part] {
					claims[part], latest[part] = []string{""}, p.generation
				}
				if p.generation == latest[part] {
					claims[part] = append(claims[part], p.id)
				}
			}
		}
		for part, ids := range claims {
			require.Contains(t, ids, given[part], "partition %d is given away before it is revoked", part)
		}
		for _, p := range peers {
			p.owned, p.generation = got[p.id], p.generation+1
		}
		if len(given) == int(parts) {
			for _, ps := range got {
				require.GreaterOrEqual(t, len(ps), int(parts)/len(peers))
				require.LessOrEqual(t, len(ps), (int(parts)+len(peers)-1)/len(peers))
			}
			return got
		}
		require.Less(t, round, int32(2), "it does not settle")
	}
}

// warm knows [low, to) of partitions.
func warm(low, to int64, parts ...int32) map[int32]coverage {
	w := make(map[int32]coverage)
	for _, part := range parts {
		w[part] = coverage{low, to}
	}
	return w
}

func TestWarmBalance(t *testing.T) {
	for what, c := range map[string]struct {
		parts int32
		peers []*peer
		want  map[string][]int32
	}{
		"home after a restart": {6, []*peer{
			{id: "a", generation: 5, owned: []int32{0, 3, 5}, warm: warm(0, 1100, 0, 3)},
			{id: "b", generation: 5, owned: []int32{1, 2, 4}, warm: warm(0, 1100, 1, 4)},
			{id: "c", generation: -1, warm: warm(0, 1000, 2, 5)},
		}, map[string][]int32{"a": {0, 3}, "b": {1, 4}, "c": {2, 5}}},
		"home although the new owner has read on, and nothing asks for a move": {2, []*peer{
			{id: "a", generation: 5, owned: []int32{0}, warm: warm(1000, 1100, 0)},
			{id: "b", generation: 5, owned: []int32{1}, warm: warm(0, 1000, 0)},
		}, map[string][]int32{"a": {1}, "b": {0}}},
		"not home when the new owner has read a window": {2, []*peer{
			{id: "a", generation: 5, owned: []int32{0}, warm: warm(1000, 2000, 0)},
			{id: "b", generation: 5, owned: []int32{1}, warm: warm(0, 1000, 0)},
		}, map[string][]int32{"a": {0}, "b": {1}}},
		"a few records more move nothing": {2, []*peer{
			{id: "a", generation: 5, owned: []int32{0}, warm: warm(10, 1000, 0, 1)},
			{id: "b", generation: 5, owned: []int32{1}, warm: warm(0, 1000, 0, 1)},
		}, map[string][]int32{"a": {0}, "b": {1}}},
		"sticky where nobody knows": {4, []*peer{
			{id: "a", generation: 5, owned: []int32{1, 3}}, {id: "b", generation: 5, owned: []int32{0, 2}},
		}, map[string][]int32{"a": {1, 3}, "b": {0, 2}}},
		"balance before warmth": {4, []*peer{
			{id: "a", generation: 5, owned: []int32{0, 1, 2, 3}, warm: warm(0, 1000, 0, 1, 2, 3)}, {id: "b", generation: -1, warm: warm(0, 1000, 3)},
		}, map[string][]int32{"a": {1, 2}, "b": {0, 3}}},
		"data that cannot be read": {2, []*peer{
			{id: "a", generation: 5, owned: []int32{0}, data: []byte{9, 9, 9}}, {id: "b", generation: 5, owned: []int32{1}, data: []byte{}},
		}, map[string][]int32{"a": {0}, "b": {1}}},
		"a lie weighs no more than the truth": {2, []*peer{
			{id: "a", generation: 5, owned: []int32{0}, warm: warm(0, math.MaxInt64, 0, 1, 2, 3, 99)}, {id: "b", generation: 5, owned: []int32{1}, warm: warm(0, 10, 1)},
		}, map[string][]int32{"a": {0}, "b": {1}}},
		"a claim of long ago": {2, []*peer{
			{id: "a", generation: 5, owned: []int32{1}}, {id: "b", generation: 3, owned: []int32{1}}, // and not 0 and 1 to both
		}, nil},
		"more members than partitions": {1, []*peer{
			{id: "a", generation: 5, owned: []int32{0}}, {id: "b", generation: -1, warm: warm(0, 10, 0)}, {id: "c", generation: -1},
		}, map[string][]int32{"a": nil, "b": {0}, "c": nil}},
		"no partitions": {0, []*peer{{id: "a", generation: -1}}, map[string][]int32{"a": nil}},
	} {
		t.Run(what, func(t *testing.T) {
			got := rounds(t, c.parts, c.peers...)
			if c.want != nil {
				require.Equal(t, c.want, got)
			}
		})
	}
}

// TestWarmBalanceOtherTopics: where members read different topics the client's own balancer decides, and does not take our
// data for its own. So it does where the pairs are too many to look at.
func TestWarmBalanceOtherTopics(t *testing.T) {
	got := rounds(t, 4,
		&peer{id: "a", generation: 5, owned: []int32{0, 1}, warm: warm(0, 10, 2, 3), topics: []string{"other"}},
		&peer{id: "b", generation: 5, owned: []int32{2, 3}, warm: warm(0, 10, 0, 1), topics: []string{"other"}})
	require.Equal(t, map[string][]int32{"a": {0, 1}, "b": {2, 3}}, got)

	var all []int32
	for part := range int32(maxPairs/2 + 1) {
		all = append(all, part)
	}
	got = balance(t, int32(len(all)), &peer{id: "a", generation: 5, owned: all[:10], warm: warm(0, 10, 12)},
		&peer{id: "b", generation: 5, owned: all[10:20], warm: warm(0, 10, 2)})
	require.Len(t, all, len(got["a"])+len(got["b"]))
	require.Subset(t, got["a"], all[:10])
}

// TestWarmBalanceProperties: any group, any claims: each partition once, balanced, settled soon, and then at rest.
func TestWarmBalanceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.Int32Range(1, 12).Draw(t, "partitions")
		n := rapid.IntRange(1, 5).Draw(t, "members")
		var peers []*peer
		owners := rapid.SliceOfN(rapid.IntRange(-1, n-1), int(parts), int(parts)).Draw(t, "owners") // -1: nobody
		for i := range n {
			p := &peer{id: fmt.Sprint("m", i), generation: 7, warm: make(map[int32]coverage)}
			for part, owner := range owners {
				if owner == i {
					p.owned = append(p.owned, int32(part))
				}
				if rapid.Bool().Draw(t, "knows") {
					low := rapid.Int64Range(0, 50).Draw(t, "low")
					p.warm[int32(part)] = coverage{low, low + rapid.Int64Range(1, 50).Draw(t, "width")}
				}
			}
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				p.data = rapid.SliceOf(rapid.Byte()).Draw(t, "data")
			case 1:
				p.owned, p.generation = nil, -1
			case 2: // it has missed rebalances, and claims what others may have by now
				p.owned, p.generation = slices.Sorted(slices.Values(rapid.SliceOfDistinct(rapid.Int32Range(0, parts-1), rapid.ID[int32]).Draw(t, "old"))), 3
			}
			peers = append(peers, p)
		}
		settled := rounds(t, parts, peers...)
		require.Equal(t, settled, balance(t, parts, peers...), "nothing moves without a cause")
		cold := make([]*peer, n)
		for i, p := range peers {
			cold[i] = &peer{id: p.id, generation: p.generation, owned: p.owned}
		}
		require.Equal(t, settled, balance(t, parts, cold...), "sticky where nobody knows anything")
	})
}

// TestWarmLeaderRestarts: a leader that is told not to balance joins again if it should have other partitions than it got,
// and only then.
func TestWarmLeaderRestarts(t *testing.T) {
	assigned := func(parts ...int32) []byte {
		var a kmsg.ConsumerMemberAssignment
		a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: testIn, Partitions: parts}}
		return a.AppendTo(nil)
	}
	members := []kmsg.JoinGroupResponseMember{
		(&peer{id: "a", generation: -1, warm: warm(0, 10, 1, 3)}).join(), (&peer{id: "b", generation: 5, owned: []int32{0, 2}}).join(),
	}
	for what, c := range map[string]struct {
		parts   int // of the topic, -1: not known
		got     []byte
		rejoins int
	}{
		"as it was":        {4, assigned(3, 1), 0},
		"partitions added": {6, assigned(3, 1), 1},
		"nothing got":      {4, assigned(), 1},
		"topic not known":  {-1, assigned(3, 1), 0},
		"another's":        {4, assigned(1, 2), 1},
	} {
		t.Run(what, func(t *testing.T) {
			rejoins := 0
			b := &warmBalancer{GroupBalancer: kgo.CooperativeStickyBalancer(), topic: testIn, rejoin: func() { rejoins++ }}
			mb, _, err := b.MemberBalancer(members)
			require.NoError(t, err)
			mb.(*kgo.ConsumerBalancer).SetBalanceInfo(kgo.BalanceInfo{LeaderID: "a", Topics: func() map[string]kgo.TopicMetadata {
				if c.parts < 0 {
					return nil
				}
				return map[string]kgo.TopicMetadata{testIn: {Partitions: make([]kgo.PartitionMetadata, c.parts)}}
			}})
			for range 2 { // it says so once
				_, err = b.ParseSyncAssignment(c.got)
				require.NoError(t, err)
				require.Equal(t, c.rejoins, rejoins)
			}
		})
	}
}

// TestPlace compares with all assignments there are.
func TestPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(0, 7).Draw(t, "n"), rapid.IntRange(1, 4).Draw(t, "m")
		cost := rapid.SliceOfN(rapid.Int64Range(0, 6), n*m, n*m).Draw(t, "cost")
		sum := func(at []int) (total int64, balanced bool) {
			load := make([]int, m)
			for p, i := range at {
				total += cost[p*m+i]
				load[i]++
			}
			return total, slices.Max(load)-slices.Min(load) <= 1
		}
		best, at := int64(math.MaxInt64), make([]int, n)
		for more := true; more; {
			if total, ok := sum(at); ok {
				best = min(best, total)
			}
			more = false
			for p := range at { // the next in the order of numbers with the base m
				if at[p]++; at[p] < m {
					more = true
					break
				}
				at[p] = 0
			}
		}
		total, balanced := sum(place(n, m, cost))
		require.True(t, balanced)
		require.Equal(t, best, total)
	})
}
