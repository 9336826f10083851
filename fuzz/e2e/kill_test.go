package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// link is what a relay joins.
type link struct {
	brokers, input, output, group string
}

// killRun kills a relay while records flow, again and again, and judges what it leaves in the output.
type killRun struct {
	records, kills, rate int
	limit                time.Duration
	command              func(l link, life int) *exec.Cmd // the relay's command line for its n-th life
	plan                 func(seed uint64) script         // of the input; nil: newPlan
	silent               bool                             // it does not say when it works, and hears signals from the start
}

// run returns the judged output. It fails the test itself only where the run is void: a relay that ends on its own, never drains, or
// was not hit while it worked.
func (k killRun) run(t *testing.T) judge {
	seed := newSeed(t)
	b, until := newBroker(t), deadline(t, k.limit)
	l := link{brokers: b.addrs, input: b.topic(t, "in", partitions), output: b.topic(t, "out", partitions), group: name(t, "group")}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	planned := script(newPlan(seed, partitions))
	if k.plan != nil {
		planned = k.plan(seed)
	}
	f := &feed{plan: planned, seed: seed, records: k.records, rate: k.rate}
	f.start(ctx, b, l.input)
	// One kill somewhere in each stretch of the input but the last three. The producer may be two stretches ahead, so that there is
	// something to work off after a restart, and three when the moment of the kill has come, so that records flow at that moment.
	a := assassin{t: t, b: b, link: l, feed: f, until: until, rng: rand.New(rand.NewPCG(seed, partitions+1)),
		stretch: float64(k.records) / float64(k.kills+3)}
	for i := range k.kills {
		a.whileFlowing(k.command(l, a.lives)).kill()
		a.kills++
		require.False(t, f.finished(), "kill %d came after the work", a.kills)
		switch i % 4 {
		case 1:
			a.whileStarting(k.command(l, a.lives)).kill()
			a.early++
		case 3:
			require.Zero(t, a.whileFlowing(k.command(l, a.lives)).term(t, time.Minute), "exit code after SIGTERM")
			a.stops++
		}
	}
	f.limit.Store(int64(k.records))
	k.drain(t, b, l, f, start(t, k.command(l, a.lives)), until)

	judge := f.plan.judge(l.input)
	require.NoError(t, b.read(l.output, until, judge.add))
	t.Logf("%d kills while records flowed, %d while it started, %d orderly stops; %s", a.kills, a.early, a.stops, judge)
	return judge
}

// drain lets the relay finish, ends it with SIGTERM, and checks that it says so: exit code 0, nothing uncommitted.
func (k killRun) drain(t *testing.T, b *broker, l link, f *feed, c *child, until time.Time) {
	poll(t, until, "the producer", func() (bool, error) {
		require.True(t, c.alive(), "the relay ended by itself")
		return f.finished() && (k.silent || c.works()), nil
	})
	require.NoError(t, f.err)
	waitDrained(t, b, l, c, until)
	require.Zero(t, c.term(t, time.Minute), "exit code after SIGTERM")
	ends, err := b.ends(l.input)
	require.NoError(t, err)
	committed, err := b.committed(l.group, l.input, partitions)
	require.NoError(t, err)
	require.Equal(t, ends, committed)
}

// waitDrained waits until the relay has committed the input as it is now.
func waitDrained(t *testing.T, b *broker, l link, c *child, until time.Time) {
	t.Helper()
	poll(t, until, "the relay to commit the whole input", func() (bool, error) {
		require.True(t, c.alive(), "the relay ended by itself")
		return b.drained(l)
	})
}

// drained says whether the group has committed the input as it is now.
func (b *broker) drained(l link) (bool, error) {
	ends, err := b.ends(l.input)
	if err != nil {
		return false, err
	}
	committed, err := b.committed(l.group, l.input, len(ends))
	for p := range committed {
		committed[p] = max(committed[p], 0) // an empty partition has nothing to commit
	}
	return err == nil && slices.Equal(committed, ends), err
}

// assassin starts relays and says when to end them.
type assassin struct {
	t     *testing.T
	b     *broker
	link  link
	feed  *feed
	until time.Time
	rng   *rand.Rand

	stretch                    float64 // records of the input for each kill
	lives, kills, early, stops int
}

// whileFlowing returns a relay some milliseconds after the output has come to a random record of the next stretch, and to at
// least one of this life's own: it ends at work, at a moment that neither it nor we have chosen.
func (a *assassin) whileFlowing(cmd *exec.Cmd) *child {
	before, err := a.b.ends(a.link.output)
	require.NoError(a.t, err)
	at := max(sum(before)+1, int64((float64(a.kills)+a.rng.Float64())*a.stretch*originalShare))
	a.feed.limit.Store(max(a.feed.limit.Load(), int64(a.stretch*float64(a.kills+2))))
	c := start(a.t, cmd)
	a.lives++
	last, since := int64(-1), time.Now()
	poll(a.t, a.until, fmt.Sprintf("output record %d (kill %d)", at, a.kills+1), func() (bool, error) {
		require.True(a.t, c.alive(), "the relay ended by itself")
		ends, err := a.b.ends(a.link.output)
		if now := sum(ends); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > time.Second {
			// The life before had worked off all that the producer may write: let it write a little more.
			a.feed.limit.Add(max(1, int64(a.stretch/20)))
			since = time.Now()
		}
		return err == nil && sum(ends) >= at, err
	})
	a.feed.limit.Store(max(a.feed.limit.Load(), int64(a.stretch*float64(a.kills+3))))
	a.pause(c, 50*time.Millisecond)
	return c
}

// whileStarting returns a relay at any moment of its first 400 ms: recovery must bear it too.
func (a *assassin) whileStarting(cmd *exec.Cmd) *child {
	c := start(a.t, cmd)
	a.lives++
	a.pause(c, 400*time.Millisecond)
	return c
}

func (a *assassin) pause(c *child, limit time.Duration) {
	time.Sleep(time.Duration(a.rng.Int64N(int64(limit))))
	require.True(a.t, c.alive(), "the relay ended by itself")
}

// TestKill is the proof the project stands on: 20 times SIGKILL under load, nothing lost, nothing repeated, nothing out of order.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	k := killRun{
		records: number(t, "NOECHO_E2E_RECORDS", 1_000_000, 60_000),
		kills:   number(t, "NOECHO_E2E_KILLS", 20, 4),
		rate:    number(t, "NOECHO_E2E_RATE", 30_000, 15_000),
		limit:   10 * time.Minute,
	}
	k.command = func(l link, life int) *exec.Cmd {
		// From "hardly ever commits before it dies" to "commits all the time".
		interval := []string{"1s", "20ms", "100ms", "300ms"}[life%4]
		return noechoCommand(t, "run", "--brokers", l.brokers, "--input", l.input, "--output", l.output, "--group", l.group,
			"--data-dir", dir, "--window", "24h", "--metrics-addr", "off", "--commit-interval", interval)
	}
	judge := k.run(t)
	require.NoError(t, judge.verdict())
}
