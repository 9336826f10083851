package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
)

type memberState int

const (
	running  memberState = iota
	stopping             // SIGTERM was sent
	down
	frozen  // SIGSTOP, for less than the session
	expired // SIGSTOP until the group has given it up
)

// member is one place in the group: a data directory, and the processes that live in it one after the other.
type member struct {
	chaos *chaos
	n     int
	dir   string
	rng   *rand.Rand // of its fate: what happens to one member does not depend on how fast another is

	state    memberState
	proc     *child
	lives    []*child
	at       time.Time // when something happens next; in state expired, not before the group has given it up
	givenUp  bool
	suffered map[string]int
}

func (m *member) name() string { return fmt.Sprintf("member-%d", m.n) }

func (m *member) start(now time.Time) {
	cmd := noechoCommand(m.chaos.t, m.chaos.command(m)...)
	cmd.Env = append(cmd.Env, "NOECHO_HASH_SEED="+chaosHashSeed) // a changelog wants the same in all stores
	m.proc = start(m.chaos.t, cmd)
	m.lives = append(m.lives, m.proc)
	m.resume(now)
}

func (m *member) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.rng.Int64N(int64(high-low)))
}

func (m *member) signal(s syscall.Signal) {
	require.NoError(m.chaos.t, m.proc.cmd.Process.Signal(s))
}

// turn does what is due. It waits for nothing that takes time.
func (m *member) turn(now time.Time) {
	t := m.chaos.t
	switch m.state {
	case running:
		require.True(t, m.proc.alive(), "%s ended by itself; %s\n%s", m.name(), m.chaos.repeatable(), m.proc.tail())
		if now.After(m.at) && !m.chaos.quiet && m.proc.works() {
			m.meetFate(now)
		}
	case stopping:
		if !m.proc.alive() {
			require.Zero(t, m.proc.wait(t, time.Second), "exit code after SIGTERM")
			m.goDown(now)
		}
		if now.After(m.at) {
			require.FailNow(t, "still running a minute after SIGTERM", "%s; %s\n%s", m.name(), m.chaos.repeatable(), m.proc.stacks())
		}
	case down:
		if now.After(m.at) || m.chaos.quiet {
			m.start(now)
		}
	case frozen:
		if now.After(m.at) || m.chaos.quiet {
			m.signal(syscall.SIGCONT)
			m.resume(now)
		}
	case expired:
		m.awaitExpiry(now)
	}
}

func (m *member) meetFate(now time.Time) {
	what := []string{"killed", "wiped", "stopped", "frozen", "zombie"}[m.rng.IntN(5)]
	if m.suffered == nil {
		m.suffered = map[string]int{}
	}
	m.suffered[what]++
	switch what {
	case "killed":
		m.proc.kill()
		m.goDown(now)
	case "wiped": // killed, and its disk with it
		m.proc.kill()
		require.NoError(m.chaos.t, os.RemoveAll(m.dir))
		m.goDown(now)
	case "stopped":
		m.signal(syscall.SIGTERM)
		m.state, m.at = stopping, now.Add(time.Minute)
	case "frozen":
		m.signal(syscall.SIGSTOP)
		m.state, m.at = frozen, now.Add(m.between(10*time.Millisecond, m.chaos.session/3))
	case "zombie":
		m.signal(syscall.SIGSTOP)
		m.state, m.at, m.givenUp = expired, now.Add(m.chaos.session), false
	}
}

// goDown: half of the time the process is back before its session is over, and its partitions have waited for it; else others have
// taken them.
func (m *member) goDown(now time.Time) {
	pause := m.between(0, m.chaos.session/4)
	if m.rng.IntN(2) == 0 {
		pause = m.chaos.session + m.between(0, m.chaos.session)
	}
	m.state, m.at = down, now.Add(pause)
}

func (m *member) resume(now time.Time) {
	m.state, m.at = running, now.Add(m.between(100*time.Millisecond, 2*m.chaos.session))
}

// awaitExpiry wakes the zombie some time after the group has given it up: the others are taking its partitions, or have them.
func (m *member) awaitExpiry(now time.Time) {
	c := m.chaos
	if now.Before(m.at) {
		return
	}
	if !m.givenUp {
		there, err := c.b.isMember(c.link.group, m.name())
		if err != nil || there {
			m.at = now.Add(50 * time.Millisecond)
			return
		}
		m.givenUp = true
		m.at = now.Add(m.between(0, c.session))
		return
	}
	from, err := c.b.ends(c.link.output)
	if err != nil {
		return // asked again on the next turn
	}
	m.signal(syscall.SIGCONT)
	c.zombies = append(c.zombies, &zombie{chaos: c, member: m.n, woke: time.Now(), from: from})
	m.resume(now)
}

// zombie is the moment in which a process that the group has given up may write: from its waking until what it was sending is sent. The
// documented bound is that; grace is for processes that share a busy machine.
type zombie struct {
	chaos    *chaos
	member   int
	woke     time.Time
	from, to []int64 // ends of the output when it woke, and when the moment was over (nil: not yet)
	lasted   time.Duration
}

const grace = time.Second

func (z *zombie) turn(now time.Time) {
	if z.to != nil || now.Before(z.woke.Add(grace)) {
		return
	}
	if to, err := z.chaos.b.ends(z.chaos.link.output); err == nil {
		z.to, z.lasted = to, now.Sub(z.woke)
	}
}

func (z *zombie) covers(partition int32, offset int64) bool {
	return offset >= z.from[partition] && offset < z.to[partition]
}
