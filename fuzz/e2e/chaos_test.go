package e2e

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	chaosPartitions = 12
	chaosMembers    = 3
	chaosHashSeed   = "000102030405060708090a0b0c0d0e0f"
)

// chaos is a group of relays, each a process with a data directory of its own, and what fate does to them while records flow. All of it
// runs on the test's goroutine: turn looks at everything once and waits for nothing.
type chaos struct {
	t       *testing.T
	b       *broker
	link    link
	changes string // the changelog; "": there is none
	feed    *feed
	seed    uint64
	session time.Duration
	until   time.Time // the test gives up

	members []*member
	zombies []*zombie
	quiet   bool // no more faults: whoever is down or frozen comes back
}

// newChaos makes topics, members and the producer, and starts them.
func newChaos(t *testing.T, records, rate int, session, limit time.Duration) *chaos {
	b, seed := newBroker(t), newSeed(t)
	c := &chaos{t: t, b: b, seed: seed, session: session, until: deadline(t, limit),
		link: link{brokers: b.addrs, input: b.topic(t, "in", chaosPartitions), output: b.topic(t, "out", chaosPartitions), group: name(t, "group")}}
	c.feed = &feed{plan: newPlan(seed, chaosPartitions), seed: seed, records: records, rate: rate}
	c.feed.limit.Store(int64(records))
	if os.Getenv("NOECHO_E2E_CHANGELOG") != "" {
		c.changes = b.topic(t, "changes", chaosPartitions)
	}
	if groupProtocol() == "consumer" {
		b.configureGroup(t, c.link.group, "consumer.session.timeout.ms", strconv.FormatInt(session.Milliseconds(), 10), "consumer.heartbeat.interval.ms", "500")
	}
	ctx, cancel := context.WithDeadline(context.Background(), c.until)
	t.Cleanup(cancel)
	for n := range chaosMembers {
		m := &member{chaos: c, n: n, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 1000+uint64(n)))}
		c.members = append(c.members, m)
		m.start(time.Now())
	}
	poll(t, c.until, "each member to have its share", func() (bool, error) {
		shares, err := b.shares(c.link.group)
		return len(shares) == chaosMembers && shares[0] == chaosPartitions/chaosMembers, err
	})
	c.feed.start(ctx, b, c.link.input)
	return c
}

// disturb lets fate have its way for so long.
func (c *chaos) disturb(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c.turn()
	}
}

func (c *chaos) turn() {
	now := time.Now()
	for _, m := range c.members {
		m.turn(now)
	}
	for _, z := range c.zombies {
		z.turn(now)
	}
}

// finish brings everybody back, waits until all is committed, and stops the members in the orderly way.
func (c *chaos) finish() {
	c.t.Helper()
	c.quiet = true
	var last error
	for done := false; !done; time.Sleep(20 * time.Millisecond) {
		require.False(c.t, time.Now().After(c.until), "the group never committed the whole input; last error: %v", last)
		c.turn()
		if c.feed.finished() && c.settled() {
			require.NoError(c.t, c.feed.err)
			done, last = c.b.drained(c.link)
		}
	}
	for _, m := range c.members {
		require.Zero(c.t, m.proc.term(c.t, time.Minute), "exit code after SIGTERM")
	}
}

// settled: all members run, and the moments in which a zombie may write are over.
func (c *chaos) settled() bool {
	for _, m := range c.members {
		if m.state != running || !m.proc.works() {
			return false
		}
	}
	for _, z := range c.zombies {
		if z.to == nil {
			return false
		}
	}
	return true
}

// judge reads the output back: each original once, in order, no copy. It excuses what the documentation says of members that are frozen.
// A partition that moves is no excuse: its new owner learns from the input what the old one knew.
func (c *chaos) judge() *tally {
	c.t.Helper()
	judge := newTally(c.feed.plan.(*plan), c.link.input)
	judge.excuseRepeat = c.excuseRepeat
	require.Len(c.t, c.moves().resumes, chaosPartitions, "what the members log of resumed partitions was not understood")
	var opts []kgo.Opt
	if c.transactional() {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	require.NoError(c.t, c.b.read(c.link.output, c.until, judge.add, opts...))
	c.t.Log(c.census())
	c.t.Log(judge)
	for _, z := range c.zombies {
		c.t.Logf("zombie %d: the output grew by %d in the %s in which it may have written", z.member, sum(z.to)-sum(z.from), z.lasted.Round(time.Millisecond))
	}
	require.NoError(c.t, judge.verdict(), "the same fates again: %s", c.repeatable())
	return judge
}

// excuseRepeat: a zombie and its successor both write what the zombie has in hand, so one of the two records lies in the zombie's moment.
func (c *chaos) excuseRepeat(partition int32, first, again int64) bool {
	if c.transactional() {
		return false // what a zombie wrote is never seen
	}
	for _, z := range c.zombies {
		if z.covers(partition, first) || z.covers(partition, again) {
			return true
		}
	}
	return false
}

func (c *chaos) census() string {
	total := map[string]int{}
	for _, m := range c.members {
		for what, n := range m.suffered {
			total[what] += n
		}
	}
	return fmt.Sprintf("%d members, suffered: %v; %d partitions had %d owners", len(c.members), total,
		chaosPartitions, c.moves().owners())
}

// TestChaos: three members share 12 partitions and are killed, robbed of their disks, stopped, frozen and started at random. Nothing is lost and nothing comes out of
// order; a record comes twice only where a process that Kafka had given up woke again, and then only what it was sending at that moment.
func TestChaos(t *testing.T) {
	seconds := number(t, "NOECHO_E2E_CHAOS", 30, 20)
	records := number(t, "NOECHO_E2E_RECORDS", 300_000, 100_000)
	session := 6 * time.Second // a broker takes no less unless told
	if os.Getenv("KAFKA_BROKERS") == "" && seconds < 60 {
		session = 2 * time.Second // or too little would happen
	}
	if groupProtocol() == "consumer" && os.Getenv("KAFKA_BROKERS") == "" {
		t.Skip("kfake waits for ever for a static member of a group that the brokers assign, once it was stopped: make chaos-assigned")
	}
	d := time.Duration(seconds) * time.Second
	c := newChaos(t, records, records/seconds, session, d+5*time.Minute)
	c.disturb(d)
	c.finish()
	c.judge()
}

// command is the n-th member's command line.
func (c *chaos) command(m *member) []string {
	fencing := "none"
	if c.transactional() {
		fencing = "transactional"
	}
	args := []string{"run", "--fencing", fencing, "--brokers", c.link.brokers, "--input", c.link.input, "--output", c.link.output, "--group", c.link.group,
		"--data-dir", m.dir, "--instance-id", m.name(), "--group-protocol", groupProtocol(), "--window", "24h", "--metrics-addr", "off",
		"--commit-interval", []string{"1s", "100ms", "300ms"}[m.n%3]}
	if groupProtocol() == "classic" {
		args = append(args, "--session-timeout", c.session.String()) // the other has the group's
	}
	if c.changes != "" {
		args = append(args, "--changelog-topic", c.changes, "--standby")
	}
	return args
}

// transactional says whether the members write in transactions.
func (c *chaos) transactional() bool { return os.Getenv("NOECHO_E2E_FENCING") == "transactional" }

// groupProtocol is that of the chaos's members.
func groupProtocol() string { return cmp.Or(os.Getenv("NOECHO_E2E_GROUP_PROTOCOL"), "classic") }

// repeatable says how to run the test once more.
func (c *chaos) repeatable() string {
	return fmt.Sprintf("NOECHO_E2E_SEED=%d go test ./fuzz/e2e -count=1 -v -run '^%s$'", c.seed, c.t.Name())
}
