package e2e

import (
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newCluster skips the test where the broker is not a cluster that scripts/kafka.sh has started, with a node to spare.
func newCluster(t *testing.T) {
	if os.Getenv("KAFKA_BROKERS") == "" {
		t.Skip("a node can be killed in a cluster of real brokers only: make chaos-cluster")
	}
	if strings.Count(os.Getenv("KAFKA_BROKERS"), ",") < 2 {
		t.Skip("a cluster has three nodes: make chaos-cluster")
	}
	if list := tool(t, "node", "list"); strings.Count(list, " up\n") < 3 {
		t.Skip("not a cluster that scripts/kafka.sh has started:\n" + list)
	}
	t.Cleanup(func() { tool(t, "up") }) // whatever has happened, the next test finds all nodes
}

// leaders are the nodes that lead a partition of the topic, the one that leads most first.
func (b *broker) leaders(topic string) (nodes []int32, err error) {
	listed, err := b.adm.ListTopics(context.Background(), topic)
	if err != nil {
		return nil, err
	}
	led := map[int32]int{}
	for _, p := range listed[topic].Partitions {
		led[p.Leader]++
	}
	nodes = slices.SortedFunc(maps.Keys(led), func(x, y int32) int { return cmp.Or(led[y]-led[x], int(x-y)) })
	return nodes, listed[topic].Err
}

func (b *broker) coordinator(group string) ([]int32, error) {
	found := b.adm.FindGroupCoordinators(context.Background(), group)
	return []int32{found[group].NodeID}, found.Error()
}

// inSync says whether no replica of the topics is behind.
func (b *broker) inSync(topics ...string) (bool, error) {
	listed, err := b.adm.ListTopics(context.Background(), topics...)
	if err == nil {
		err = listed.Error()
	}
	for _, topic := range listed {
		for _, p := range topic.Partitions {
			if p.Err != nil || len(p.ISR) < len(p.Replicas) {
				return false, p.Err
			}
		}
	}
	return err == nil, err
}

// without ends the first of the nodes in an office, waits until it holds that office no more and the output goes on without it, and brings it
// back.
func (c *chaos) without(what string, office func() ([]int32, error), end, back string) {
	c.t.Helper()
	var holders []int32
	ask := func() (err error) { c.turn(); holders, err = office(); return err }
	poll(c.t, c.until, what, func() (bool, error) { err := ask(); return len(holders) > 0 && holders[0] > 0, err })
	n := holders[0]
	node := strconv.Itoa(int(n))
	tool(c.t, "node", end, node)
	died := time.Now()
	poll(c.t, c.until, "a new "+what, func() (bool, error) { err := ask(); return len(holders) > 0 && !slices.Contains(holders, n), err })
	moved := time.Since(died)
	before := int64(-1)
	poll(c.t, c.until, "the output", func() (bool, error) {
		c.turn()
		ends, err := c.b.ends(c.link.output)
		if err == nil && before < 0 {
			before = sum(ends)
		}
		return err == nil && sum(ends) >= before+int64(c.feed.rate), err
	})
	flowed := time.Since(died)
	require.False(c.t, c.feed.finished(), "the %s must end under load: give the run more records", what)
	tool(c.t, "node", back, node)
	poll(c.t, c.until, "all replicas in sync", func() (bool, error) { c.turn(); return c.b.inSync(c.link.input, c.link.output) })
	c.t.Logf("%s of node %d, the %s: in its place %d after %s, a second's records more after %s, all in sync after %s", end, n, what, holders,
		moved.Round(time.Second/10), flowed.Round(time.Second/10), time.Since(died).Round(time.Second/10))
}

// TestCluster: of three brokers (3 replicas, 2 in sync) the one that leads most of the output, then the group's coordinator, are killed under load
// and brought back, and a leader is frozen. The members notice, and nothing else: nothing lost, nothing repeated, nothing out of order.
func TestCluster(t *testing.T) {
	newCluster(t)
	rounds := number(t, "NOECHO_E2E_ROUNDS", 2, 1)
	rate := number(t, "NOECHO_E2E_RATE", 5000, 5000)
	c := newChaos(t, number(t, "NOECHO_E2E_RECORDS", rounds*rate*100, rate*100), rate, 45*time.Second, 15*time.Minute)
	c.quiet = true // fate is the brokers' this time
	leader := func() ([]int32, error) { return c.b.leaders(c.link.output) }
	coordinator := func() ([]int32, error) { return c.b.coordinator(c.link.group) }
	for round := range rounds {
		t.Logf("round %d", round+1)
		c.without("leader", leader, "kill", "start")
		c.without("coordinator", coordinator, "kill", "start")
		c.without("leader", leader, "pause", "resume")
	}
	c.finish()
	judge := c.judge()
	require.Zero(t, judge.excusedRepeats)
}
