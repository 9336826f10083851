package kafka

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/internal/testutil"
)

// process is another machine in the same world, with a disk of its own.
func (w *world) process() *world {
	p := *w
	p.fs = testutil.NewFS()
	return &p
}

func (l *life) parts() (parts []int32) {
	for _, p := range l.relay.Stats().Partitions {
		parts = append(parts, p.Partition)
	}
	return parts
}

// TestHome: one of three members is away until its session has expired and the others have read on. When it is back with
// its data, it gets the partitions that it had, and all others stay where they were before.
func TestHome(t *testing.T) {
	// Nobody learns from the input: who takes a partition over would know as much of it as who had it.
	forgetful := func(c *RelayConfig) { quick(c); c.Learn = LearnOff }
	w := newWorld(t, 12)
	feed := func(from, to int) {
		for part := range w.parts {
			var rs []*kgo.Record
			for i := from; i < to; i++ {
				rs = append(rs, rec(part, fmt.Sprint("k", i%150), fmt.Sprint(i)))
			}
			w.feed(rs...)
		}
	}
	var disks []*world
	lives := make([]*life, 3)
	for i := range lives {
		disks = append(disks, w.process())
		lives[i] = disks[i].start(nil, forgetful)
	}
	settled := func(lives []*life, each int) bool {
		next := make(map[int32]int64)
		for _, l := range lives {
			s := l.relay.Stats()
			if len(s.Partitions) != each || !s.Ready() {
				return false
			}
			for _, p := range s.Partitions {
				next[p.Partition] = p.Next
			}
		}
		for part, fed := range w.fed {
			if next[part] <= fed[len(fed)-1].Offset {
				return false
			}
		}
		return len(next) == int(w.parts)
	}
	w.eventually("shared out", func() bool { return settled(lives, 4) }) // before anybody reads: the first one had them all
	feed(0, 200)
	w.eventually("read", func() bool { return settled(lives, 4) })
	had := make([][]int32, 3)
	for i, l := range lives {
		had[i] = l.parts()
	}
	for away := range lives {
		lives[away].stop()
		others := slices.Delete(slices.Clone(lives), away, away+1)
		w.eventually("taken over", func() bool { return settled(others, 6) })
		feed(200+10*away, 210+10*away)
		w.eventually("read on", func() bool { return settled(others, 6) })
		lives[away] = disks[away].start(nil, forgetful)
		w.eventually("back", func() bool { return settled(lives, 4) })
		for i, l := range lives {
			require.Equal(t, had[i], l.parts(), "member %d while %d came back", i, away)
		}
	}
	for _, l := range lives {
		l.stop()
	}
}

func (w *world) protocol() string {
	w.t.Helper()
	groups, err := w.adm.DescribeGroups(tContext(w.t), testGroup)
	require.NoError(w.t, err)
	return groups[testGroup].Protocol
}

// TestMixedGroup: a member that offers cooperative-sticky only makes the group fall back to it, whether it was there first or
// comes later; without it the group goes over to our protocol, and no partition stops for that.
func TestMixedGroup(t *testing.T) {
	w := newWorld(t, 4)
	w.feed(rec(0, "a", "1"), rec(1, "b", "2"), rec(2, "c", "3"), rec(3, "d", "4"))
	g := w.guest()
	w.eventually("a group", func() bool { return w.protocol() == "cooperative-sticky" })
	l := w.start(nil, quick)
	mine := func(n int) func() bool {
		return func() bool { s := l.relay.Stats(); return len(s.Partitions) == n && s.Ready() }
	}
	for range 2 {
		w.eventually("half of it mine", mine(2))
		w.eventually("fallen back", func() bool { return w.protocol() == "cooperative-sticky" })
		stay := make(map[int32]*assignment)
		for _, a := range l.relay.assignments() {
			stay[a.part] = a
		}
		g.Close()
		w.eventually("all mine", mine(4))
		w.eventually("gone over", func() bool { return w.protocol() == warmProtocol })
		now := make(map[int32]*assignment)
		for _, a := range l.relay.assignments() {
			now[a.part] = a
		}
		for part, a := range stay {
			require.Same(t, a, now[part], "partition %d went and came back", part)
		}
		g = w.guest()
	}
	g.Close()
	w.eventually("all mine", mine(4))
	l.settle()
	l.stop()
	w.requireClean()
}
