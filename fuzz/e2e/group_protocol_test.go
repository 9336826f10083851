package e2e

import (
	"context"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is two relays in one group, each with a data directory of its own.
type pair struct {
	t     *testing.T
	b     *broker
	link  link
	until time.Time
	feed  *feed

	dirs  [2]string
	procs [2]*child
}

const pairSession = 6 * time.Second

// start starts a member, which speaks the protocol.
func (p *pair) start(n int, protocol string) {
	args := []string{"run", "--brokers", p.link.brokers, "--input", p.link.input, "--output", p.link.output, "--group", p.link.group,
		"--data-dir", p.dirs[n], "--instance-id", "member-" + strconv.Itoa(n), "--window", "24h", "--metrics-addr", "off", "--commit-interval", "300ms",
		"--group-protocol", protocol}
	if protocol == "classic" {
		args = append(args, "--session-timeout", pairSession.String())
	}
	p.procs[n] = start(p.t, noechoCommand(p.t, args...))
}

// restart stops a member in the orderly way and starts it with the protocol.
func (p *pair) restart(n int, protocol string) {
	require.Zero(p.t, p.procs[n].term(p.t, time.Minute), "exit code after SIGTERM")
	p.start(n, protocol)
}

// share waits until the partitions are shared out like that, and records of all of them are committed.
func (p *pair) share(what string, want ...int) {
	p.t.Helper()
	began := time.Now()
	poll(p.t, p.until, what, func() (bool, error) {
		shares, err := p.b.shares(p.link.group)
		return slices.Equal(shares, want), err
	})
	from, err := p.b.committed(p.link.group, p.link.input, partitions)
	require.NoError(p.t, err)
	poll(p.t, p.until, what+", and at work", func() (bool, error) {
		now, err := p.b.committed(p.link.group, p.link.input, partitions)
		for part := range now {
			if now[part] == from[part] && !p.feed.finished() {
				return false, err
			}
		}
		return true, err
	})
	p.t.Logf("%s: %v after %s", what, want, time.Since(began).Round(time.Millisecond))
}

// freeze stops a member until the other one has its partitions, and wakes it. What it was sending when it was stopped may come twice, as the documentation
// says: repeats of the moment after are excused.
func (p *pair) freeze(n int) (woke *zombie) {
	require.NoError(p.t, p.procs[n].cmd.Process.Signal(syscall.SIGSTOP))
	p.share("one frozen for longer than its session", partitions)
	z := &zombie{}
	var err error
	z.from, err = p.b.ends(p.link.output)
	require.NoError(p.t, err)
	require.NoError(p.t, p.procs[n].cmd.Process.Signal(syscall.SIGCONT))
	time.Sleep(grace)
	z.to, err = p.b.ends(p.link.output)
	require.NoError(p.t, err)
	return z
}

// TestGroupProtocol: two members of a group that the brokers assign; one is killed, and stopped, and frozen, and the other has its partitions until it comes back. On
// a real broker the group is a classic one before, and after, and goes over a member at a time. Records flow all the time; nothing is lost, nothing repeated, no
// copy passes.
func TestGroupProtocol(t *testing.T) {
	seed, b, until := newSeed(t), newBroker(t), deadline(t, 5*time.Minute)
	genuine := os.Getenv("KAFKA_BROKERS") != "" // kfake has no group of both protocols
	p := &pair{t: t, b: b, until: until, dirs: [2]string{t.TempDir(), t.TempDir()},
		link: link{brokers: b.addrs, input: b.topic(t, "in", partitions), output: b.topic(t, "out", partitions), group: name(t, "group")}}
	b.configureGroup(t, p.link.group, "consumer.session.timeout.ms", strconv.Itoa(int(pairSession.Milliseconds())), "consumer.heartbeat.interval.ms", "500")
	p.feed = &feed{plan: newPlan(seed, partitions), seed: seed, records: 60_000, rate: 1500}
	p.feed.limit.Store(int64(p.feed.records))
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	p.feed.start(ctx, b, p.link.input)

	first := "consumer"
	if genuine {
		first = "classic"
	}
	p.start(0, first)
	p.start(1, first)
	p.share("two members", 2, 2)
	if genuine {
		p.restart(0, "consumer")
		p.share("one member of each protocol", 2, 2)
		p.restart(1, "consumer")
		p.share("gone over", 2, 2)
	}
	p.procs[1].kill()
	p.share("one killed", 4)
	p.start(1, "consumer")
	p.share("it is back", 2, 2)
	p.restart(1, "consumer")
	p.share("it was stopped and is back", 2, 2)
	woke := p.freeze(1)
	p.share("it is awake", 2, 2)
	if genuine { // kfake waits for a static member that has left for ever
		require.Zero(t, p.procs[1].term(t, time.Minute), "exit code after SIGTERM")
		p.share("one stopped for longer than its session", 4)
		p.start(1, "consumer")
		p.share("it is back from that", 2, 2)
	}
	if genuine {
		p.restart(0, "classic")
		p.share("one member has gone back", 2, 2)
		p.restart(1, "classic")
		p.share("both have", 2, 2)
	}
	poll(t, until, "the producer", func() (bool, error) { return p.feed.finished(), nil })
	require.NoError(t, p.feed.err)
	poll(t, until, "all committed", func() (bool, error) { return b.drained(p.link) })
	for _, c := range p.procs {
		require.Zero(t, c.term(t, time.Minute), "exit code after SIGTERM")
	}
	judge := newTally(p.feed.plan.(*plan), p.link.input)
	judge.excuseRepeat = func(partition int32, first, again int64) bool {
		return woke.covers(partition, first) || woke.covers(partition, again)
	}
	require.NoError(t, b.read(p.link.output, until, judge.add))
	t.Log(judge)
	require.NoError(t, judge.verdict())
}
