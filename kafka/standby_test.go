package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"noecho/engine"
)

// standing is a member of a group in which each follows what the others own.
func standing(cfg *RelayConfig) {
	cfg.ChangelogTopic, cfg.Standby = testLog, true
	cfg.SessionTimeout = 500 * time.Millisecond
}

// follows says whether the life has taken in all that the changelog holds of the partitions that it does not own.
func (l *life) follows(parts int) bool {
	s := l.relay.Stats()
	for _, p := range s.Standby {
		if p.Lag > 0 {
			return false
		}
	}
	return len(s.Standby) == parts
}

// TestStandbyTakesOver: the owner is killed. The other one knows its marks: no copy passes, it restores next to nothing, and reads
// nothing of the input again. Then the first one is back, with nothing, and is in turn the standby that knows it all.
func TestStandbyTakesOver(t *testing.T) {
	w := newWorld(t, 2, kfake.SeedTopics(2, testLog))
	disks := []*world{w.process(), w.process()}
	lives := make([]*life, 2)
	for i := range lives {
		lives[i] = disks[i].start(nil, standing)
	}
	shared := func() bool { return len(lives[0].parts()) == 1 && len(lives[1].parts()) == 1 }
	w.eventually("shared out", shared)
	w.feed(history(rand.New(rand.NewPCG(60, 1)), 2, 4000)...)
	read := func(ls ...*life) func() bool {
		return func() bool {
			next := make(map[int32]int64)
			for _, l := range ls {
				for _, p := range l.relay.Stats().Partitions {
					next[p.Partition] = p.Committed
				}
			}
			for part, fed := range w.fed {
				if next[part] <= fed[len(fed)-1].Offset {
					return false
				}
			}
			return true
		}
	}
	w.eventually("all is read", read(lives...))
	lost := lives[0].parts()[0]
	before := uint64(len(w.originals(lost, 0)))
	w.eventually("all is followed", func() bool { return lives[1].relay.Stats().Changelog.Restored == before })
	all := w.fed[lost][len(w.fed[lost])-1].Offset + 1
	w.eventually("it is warm", func() bool {
		s := lives[1].relay.Stats()
		return len(s.Standby) == 1 && s.Standby[0] == StandbyPartition{Partition: lost, Known: all, Warm: true} && s.Changelog.Pending == 0 && s.LeaseHeld
	})
	lives[0].die(0, 1)
	lives[0].bury()
	w.feed(w.again(lost)...)
	w.feed(rec(lost, "new", "x"))
	w.eventually("taken over", read(lives[1]))
	stats := lives[1].relay.Stats()
	require.Zero(t, stats.Learned)
	require.Equal(t, before, stats.Changelog.Restored)
	w.requireClean()

	again := w.process().start(nil, standing)
	lives[0] = again
	w.eventually("shared out again", shared)
	w.feed(append(w.again(0), w.again(1)...)...)
	w.feed(rec(0, "newer", "x"), rec(1, "newer", "x"))
	w.eventually("all is read", read(lives...))
	require.Zero(t, again.relay.Stats().Learned)
	w.eventually("what was given up is followed", func() bool { return lives[0].follows(1) && lives[1].follows(1) })
	w.requireClean()
	for _, l := range lives {
		l.stop()
	}
}

// TestStandbyIsPreferred: what the standby knows counts when partitions are given out.
func TestStandbyIsPreferred(t *testing.T) {
	w := newWorld(t, 1, kfake.SeedTopics(1, testLog))
	owner := w.process().start(nil, standing)
	w.feed(history(rand.New(rand.NewPCG(61, 1)), 1, 500)...)
	w.eventually("all is read", func() bool { at, _ := w.committed(0); return at == 500 })
	other := w.process().start(nil, standing)
	originals := w.originals(0, 0)
	want := engine.Coverage{Topic: testIn, To: originals[len(originals)-1].Offset + 1}
	w.eventually("it knows, and tells", func() bool { return slices.Equal(other.e.Coverages(), []engine.Coverage{want}) })
	owner.stop()
	other.cancel()
	<-other.done
	p, err := other.e.Partition(testIn, 0)
	require.NoError(t, err)
	require.EqualValues(t, other.m.input.topicID(), p.LogID(), "a topic that is made again will be noticed")
	require.NoError(t, p.Close())
	other.stop()
}

// TestStandbyNeedsAChangelog: it is said before anything starts.
func TestStandbyNeedsAChangelog(t *testing.T) {
	var wrong *ConfigError
	_, err := newRelay(RelayConfig{Input: "a", Output: "b", Group: "g", Standby: true}, namedStore("x"))
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, []string{"standby needs changelog_topic: that is what it follows"}, wrong.Problems)
	_, err = newRelay(RelayConfig{Input: "a", Output: "b", Group: "g", Scope: ScopeTopic, ChangelogTopic: "c"}, namedStore("x"))
	require.ErrorAs(t, err, &wrong)
	require.ErrorContains(t, err, "scope topic and a changelog do not go together")
	_, err = newRelay(RelayConfig{Input: "a", Output: "b", Group: "g", ChangelogTopic: "b"}, namedStore("x"))
	require.ErrorAs(t, err, &wrong)
	require.ErrorContains(t, err, "which has another use")
	_, err = newRelay(RelayConfig{Input: "a", Output: "b", Group: "g", ChangelogTopic: "c"}, namedStore("x"))
	require.ErrorContains(t, err, "changelog_topic needs the engine's Seed (hash_seed)")
}

// TestStandbyAndAHole: what passed in bypass is told by nobody, and a standby does not read the input. It goes on behind that when a
// window has passed.
func TestStandbyAndAHole(t *testing.T) {
	w := newWorld(t, 1, kfake.SeedTopics(1, testLog))
	w.window = time.Minute
	owner := w.process().start(nil, standing)
	at := time.UnixMilli(1_700_000_000_000)
	feed := func(key string) {
		r := rec(0, key, "x")
		r.Timestamp = at
		w.feed(r)
		w.eventually("committed", func() bool { c, _ := w.committed(0); return c == int64(len(w.fed[0])) })
	}
	feed("before")
	other := w.process().start(nil, standing)
	knows := func(to int64) func() bool {
		return func() bool { all := other.e.Coverages(); return len(all) == 1 && all[0].To == to }
	}
	w.eventually("it knows what was before", knows(1))
	_, err := owner.relay.SetMode(ModeBypass)
	require.NoError(t, err)
	feed("in bypass")
	_, err = owner.relay.SetMode(ModeActive)
	require.NoError(t, err)
	feed("after")
	w.eventually("passed over", func() bool { return other.relay.Stats().Changelog.Passed > 0 })
	require.True(t, knows(1)())
	for i := range 20 {
		at = at.Add(10 * time.Second)
		feed(fmt.Sprint("later", i))
	}
	w.eventually("it has caught up", knows(int64(len(w.fed[0]))))
	owner.stop()
	other.stop()
}
