package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

const stormKeys = 4000

// stormed is a store with keys that only the index holds, in two buckets.
func stormed(t *testing.T, tune func(*engine.Options)) *store {
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.TableKeys = 700
	if tune != nil {
		tune(&o)
	}
	s := openStore(t, o)
	s.fill(0, 0, "a", stormKeys/2)
	s.fill(stormKeys/2, 100, "b", stormKeys/2)
	s.commit(stormKeys)
	s.reopen() // closing seals all
	return s
}

// storm sends all keys again, in order, and says how many lookups and how many hits that took.
func (s *store) storm(offset, timestamp int64) (lookups, hits uint64) {
	s.t.Helper()
	before := s.p.Metrics()
	for b, prefix := range []string{"a", "b"} {
		first := int64(b) * stormKeys / 2
		for i, v := range s.drop(offset+first, timestamp, keys(prefix, stormKeys/2)...) {
			require.Equal(s.t, first+int64(i), v.First)
		}
	}
	after := s.p.Metrics()
	return after.IndexLookups - before.IndexLookups, after.TrailHits - before.TrailHits
}

// TestReplayStorm: copies of old records, in the order of the originals, cost a lookup for each block of the trail and not one each.
func TestReplayStorm(t *testing.T) {
	s := stormed(t, nil)
	lookups, hits := s.storm(stormKeys, 200)
	require.Less(t, lookups, uint64(200), "false positives and one lookup a block")
	require.Greater(t, hits, uint64(stormKeys-100))
	require.Less(t, s.p.Metrics().TrailBlocks, uint64(30))

	// A second one, after a clean restart and after a crash.
	s.commit(2 * stormKeys)
	s.reopen()
	_, hits = s.storm(2*stormKeys, 200)
	require.Greater(t, hits, uint64(stormKeys-100))
	s.commit(3 * stormKeys)
	s.crash(0, 1)
	_, hits = s.storm(3*stormKeys, 200)
	require.Greater(t, hits, uint64(stormKeys-100))
}

// TestStormsMixed: several producers republish different parts at the same time.
func TestStormsMixed(t *testing.T) {
	s := stormed(t, nil)
	const producers = 4
	next := int64(stormKeys)
	for i := range int64(stormKeys / producers) {
		for p := range int64(producers) {
			at := p*stormKeys/producers + i
			k := key("a", at)
			if at >= stormKeys/2 {
				k = key("b", at-stormKeys/2)
			}
			require.Equal(t, at, s.drop(next, 200, k)[0].First)
			next++
		}
	}
	require.Greater(t, s.p.Metrics().TrailHits, uint64(stormKeys*9/10))
}

// TestNoTrail: without it, or for buckets from before, every copy is looked up; with it, copies without an order are, too.
func TestNoTrail(t *testing.T) {
	s := stormed(t, func(o *engine.Options) { o.Trail = false })
	lookups, hits := s.storm(stormKeys, 200)
	require.GreaterOrEqual(t, lookups, uint64(stormKeys))
	require.Zero(t, hits)
	s.commit(2 * stormKeys)
	s.opt.Trail = true
	s.reopen()
	lookups, hits = s.storm(2*stormKeys, 200)
	require.GreaterOrEqual(t, lookups, uint64(stormKeys))
	require.Zero(t, hits)
}

// TestRefreshedMarksAreNotFollowed: in a window that slides, copies renew marks with the offsets of old records. They are found, in whatever
// bucket they are, and the trail stays in order.
func TestRefreshedMarksAreNotFollowed(t *testing.T) {
	s := stormed(t, func(o *engine.Options) { o.Refresh = true })
	for round := range int64(4) {
		s.storm((round+1)*stormKeys, 200+100*round)
		s.fill((round+1)*stormKeys+stormKeys, 200+100*round, fmt.Sprint("new", round), 0)
		s.commit((round + 2) * stormKeys)
		s.reopen()
	}
}

// TestForgottenKeysLeaveTheTrail: a key that is forgotten passes, although a block of the trail that has it was read before, is read after, or
// waits to be written; its neighbours are still found. Whatever comes between.
func TestForgottenKeysLeaveTheTrail(t *testing.T) {
	between := map[string]func(s *store){
		"nothing": func(*store) {},
		"close":   func(s *store) { s.reopen() },
		"crash":   func(s *store) { s.commit(s.p.Committed()); s.crash(0, 1) },
		"seal and crash": func(s *store) {
			s.commit(s.p.Committed())
			_, to := s.p.Coverage()
			s.fill(to, 200, "filler", 800) // more than a table
			s.commit(to + 800)
			s.eventually("not sealed", func() bool { return s.e.Metrics().SealedMarks >= 700 })
			s.crash(0, 1)
		},
		"without the option": func(s *store) { s.opt.Trail = false; s.reopen(); s.opt.Trail = true; s.reopen() },
	}
	for name, f := range between {
		for _, read := range []bool{false, true} {
			for _, victim := range []string{"a10", "b10"} { // of an old bucket, and of the current one
				t.Run(fmt.Sprintf("%s/read=%v/%s", name, read, victim), func(t *testing.T) {
					s := stormed(t, nil)
					if read {
						s.storm(stormKeys, 100)
						s.commit(2 * stormKeys)
					}
					require.NoError(t, s.p.Forget([]byte(victim)))
					f(s)
					_, seen, err := s.p.Lookup([]byte(victim))
					require.NoError(t, err)
					require.False(t, seen)
					_, to := s.p.Coverage()
					prefix := victim[:1]
					s.drop(to, 200, keys(prefix, 10)...)
					s.pass(to+10, 200, victim)
					require.Equal(t, to+10, s.drop(to+11, 200, victim)[0].First)
				})
			}
		}
	}
}

// TestForgetWithoutTheOption: a trail from before must not bring back what was forgotten while the option was off.
func TestForgetWithoutTheOption(t *testing.T) {
	s := stormed(t, nil)
	s.opt.Trail = false
	s.reopen()
	require.NoError(t, s.p.Forget([]byte("a10")))
	s.commit(stormKeys)
	s.opt.Trail = true
	s.reopen()
	s.drop(stormKeys, 200, keys("a", 10)...)
	s.pass(stormKeys+10, 200, "a10")
}

// TestForgetInATableThatWaits: the mark is in the trail of a table that is frozen, or is being filled, when its key is forgotten. What a crash
// leaves of it differs; the answers do not.
func TestForgetInATableThatWaits(t *testing.T) {
	for i := range 40 {
		o := testOptions(testutil.NewFS())
		o.TableKeys = 64
		s := openStore(t, o)
		s.fill(0, 0, "k", 100)
		victim := key("k", []int64{10, 90}[i%2])
		require.NoError(t, s.p.Forget([]byte(victim)))
		s.pass(100, 0, victim)
		s.fill(101, 0, "l", 60)
		s.commit(161)
		s.crash(i%5*25, uint64(i))
		_, to := s.p.Coverage()
		for range 2 {
			require.Equal(t, int64(100), s.drop(to, 100, victim)[0].First)
			s.drop(to+1, 100, keys("k", 100)...)
			to += 101
			s.commit(to)
			s.reopen()
		}
		s.close()
	}
}

// TestDeadBucketsTakeTheirTrail: expiry frees its disk, too.
func TestDeadBucketsTakeTheirTrail(t *testing.T) {
	s := stormed(t, nil)
	s.fill(stormKeys, 10_000, "new", 1)
	s.commit(stormKeys + 1)
	s.eventually("the dead buckets' disk is not back", func() bool { return s.e.Metrics().Index.TableBytes < 8<<10 })
}
