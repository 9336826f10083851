package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/engine"
	"noecho/internal/model"
	"noecho/internal/testutil"
)

// shared is an engine with a topic of some partitions, whose marks are shared.
type shared struct {
	t   failer
	opt engine.Options
	e   *engine.Engine
	ps  []*engine.Partition
}

func openShared(t failer, o engine.Options, parts int) *shared {
	s := &shared{t: t, opt: o, ps: make([]*engine.Partition, parts)}
	s.open()
	return s
}

func (s *shared) open() {
	e, err := engine.Open("data", s.opt)
	require.NoError(s.t, err)
	s.e = e
	topic := e.Topic("t")
	for i := range s.ps {
		s.ps[i], err = topic.Partition(int32(i))
		require.NoError(s.t, err)
	}
}

func (s *shared) close() {
	for _, p := range s.ps {
		require.NoError(s.t, p.Close())
	}
	require.NoError(s.t, s.e.Close())
}

func (s *shared) crash(percent int, seed uint64) {
	fs := s.opt.FS.(*testutil.FS).Crash(percent, seed)
	_ = s.e.Close() // history
	s.opt.FS = fs
	s.open()
}

// sealed waits until the keeper has nothing left to seal.
func (s *shared) sealed() {
	for end := time.Now().Add(time.Minute); s.e.Metrics().Unsealed > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("tables are never sealed")
		}
	}
}

func (s *shared) check(part int, recs ...model.Record) []engine.Verdict {
	out, err := s.ps[part].Check(records(recs), nil)
	require.NoError(s.t, err)
	require.Len(s.t, out, len(recs))
	return out
}

func elsewhere(part int32, first int64) engine.Verdict {
	return engine.Verdict{Kind: engine.Duplicate, Elsewhere: true, Partition: part, First: first}
}

// TestTopic is the layer's contract, one line each.
func TestTopic(t *testing.T) {
	s := openShared(t, testOptions(testutil.NewFS()), 3)
	defer s.close()
	rec := func(o, ts int64, key string) model.Record { return model.Record{Offset: o, Timestamp: ts, Key: key} }

	require.Equal(t, engine.Unique, s.check(0, rec(7, 1000, "a"))[0].Kind)
	require.Equal(t, elsewhere(0, 7), s.check(1, rec(3, 1000, "a"))[0], "a copy in another partition, with a lower offset")
	require.Equal(t, elsewhere(0, 7), s.check(1, rec(4, 1001, "a"))[0], "and another one: the first owns nothing")
	require.Equal(t, elsewhere(0, 7), s.check(1, rec(3, 1000, "a"))[0], "delivered again")
	require.Equal(t, engine.Redelivery, s.check(0, rec(7, 1000, "a"))[0].Kind, "the owner delivered again")
	require.Equal(t, engine.Verdict{Kind: engine.Duplicate, First: 7}, s.check(0, rec(8, 1002, "a"))[0], "in the same partition: the rule")

	// A key that is given up passes again, wherever its copy comes.
	require.Equal(t, engine.Unique, s.check(0, rec(9, 1002, "f"))[0].Kind)
	require.NoError(t, s.ps[0].Forget([]byte("f")))
	require.Equal(t, engine.Unique, s.check(1, rec(6, 1002, "f"))[0].Kind)
	require.Equal(t, elsewhere(1, 6), s.check(0, rec(10, 1002, "f"))[0])

	// 600 ms are the window, 100 ms a bucket: a stream time that is a window ahead does not see it, nor one that is a window behind.
	require.Equal(t, elsewhere(0, 7), s.check(2, rec(0, 1699, "a"))[0])
	require.Equal(t, engine.Unique, s.check(2, rec(1, 1700, "a"))[0].Kind)
	require.Equal(t, engine.Unique, s.check(2, rec(2, 2500, "late"))[0].Kind)
	require.Equal(t, engine.Unique, s.check(1, rec(7, 1899, "late"))[0].Kind)

	// A partition that was given back is not asked.
	require.NoError(t, s.ps[0].Close())
	require.Equal(t, engine.Unique, s.check(1, rec(8, 1899, "gone"))[0].Kind)
	p, err := s.e.Partition("t", 0)
	require.NoError(t, err)
	v, err := p.Check(records([]model.Record{rec(11, 1899, "gone")}), nil)
	require.NoError(t, err)
	require.Equal(t, engine.Unique, v[0].Kind, "on its own again")
	s.ps[0] = p
}

// topicHistory deals one stream of messages, copies among them, to partitions at random, as a producer without keys does.
type topicHistory struct {
	rng  *rand.Rand
	logs [][]model.Record
	pos  []int
	time int64
}

func (h *topicHistory) extend(part int) {
	log := h.logs[part]
	o := int64(h.rng.IntN(3))
	if n := len(log); n > 0 {
		o = log[n-1].Offset + 1
	}
	h.time += h.rng.Int64N(6)
	ts := h.time - h.rng.Int64N(40)
	if h.rng.IntN(10) == 0 {
		ts = -1
	}
	h.logs[part] = append(log, model.Record{Offset: o, Timestamp: ts, Key: fmt.Sprint(h.rng.IntN(60) + int(h.time)/40)})
}

func (h *topicHistory) next(part int) model.Record {
	for len(h.logs[part]) <= h.pos[part] {
		h.extend(part)
	}
	h.pos[part]++
	return h.logs[part][h.pos[part]-1]
}

// TestTopicHistories holds the engine against the naive rule: random partitions, batches, commits, clean restarts and rewinds.
func TestTopicHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := randomOptions(rt, testutil.NewFS())
		parts := rapid.IntRange(1, 4).Draw(rt, "parts")
		h := &topicHistory{rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 5)), logs: make([][]model.Record, parts), pos: make([]int, parts)}
		oracle := model.NewTopic(int32(parts), o.Window.Milliseconds(), o.Buckets, o.Refresh)
		s := openShared(rt, o, parts)
		defer s.close()
		for range rapid.IntRange(5, 80).Draw(rt, "steps") {
			part := h.rng.IntN(parts)
			switch step := h.rng.IntN(20); {
			case step < 14:
				var recs []model.Record
				for range 1 + h.rng.IntN(40) {
					recs = append(recs, h.next(part))
				}
				for i, got := range s.check(part, recs...) {
					sameTopic(rt, oracle.Check(int32(part), recs[i]), got, "partition %d, %+v", part, recs[i])
				}
			case step < 17:
				next := int64(0)
				if h.pos[part] > 0 {
					next = h.logs[part][h.pos[part]-1].Offset + 1
				}
				oracle.Parts[int32(part)].Commit(next)
				require.NoError(rt, s.ps[part].Commit(context.Background(), next))
			case step < 18:
				s.close()
				s.open()
			default:
				h.pos[part] = h.rng.IntN(h.pos[part] + 1) // an operator's rewind
			}
		}
	})
}

func sameTopic(t failer, want model.TopicVerdict, got engine.Verdict, what string, args ...any) {
	t.Helper()
	if len(want.Elsewhere) == 0 {
		same(t, want.Verdict, got, what, args...)
		require.False(t, got.Elsewhere)
		return
	}
	if got.Kind != engine.Duplicate || !got.Elsewhere || !slices.Contains(want.Elsewhere[got.Partition], got.First) {
		t.Fatalf("%s: want a copy of one of %v, got %+v", fmt.Sprintf(what, args...), want.Elsewhere, got)
	}
}

// TestTopicCrash: a copy whose taking in survived finds its original again, whatever the crash took and whatever was sealed.
// Were the copy's coverage ahead of the original's mark, both would pass.
func TestTopicCrash(t *testing.T) {
	survived := 0
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 9))
		o := testOptions(testutil.NewFS())
		o.Window, o.TableKeys = 24*o.Window, []int{3, 20, 1000}[seed%3] // nothing expires
		s := openShared(t, o, 3)
		type copied struct {
			part int
			rec  model.Record
			v    engine.Verdict
		}
		var copies []copied
		next := make([]int64, 3)
		crashAfter := 20 + rng.IntN(200)
		for i := range crashAfter {
			part := rng.IntN(3)
			r := model.Record{Offset: next[part], Timestamp: int64(1000 + i), Key: fmt.Sprint(rng.IntN(crashAfter))}
			next[part]++
			if v := s.check(part, r)[0]; v.Elsewhere {
				copies = append(copies, copied{part, r, v})
			}
			if rng.IntN(8) == 0 { // some frames are cut, and some synced
				ticket, err := s.ps[part].CommitStart(0)
				require.NoError(t, err)
				if rng.IntN(3) == 0 {
					require.NoError(t, s.ps[part].CommitWait(context.Background(), ticket))
				}
			}
		}
		if seed%2 == 0 { // all that is frozen is in the index, durably, and the log of the others may not be
			s.sealed()
		}
		s.crash([]int{0, 50, 100}[rng.IntN(3)], seed)
		for _, c := range copies {
			if _, to := s.ps[c.part].Coverage(); c.rec.Offset < to {
				survived++
				require.Equal(t, c.v, s.check(c.part, c.rec)[0], "seed %d", seed)
			}
		}
		s.close()
	}
	require.Greater(t, survived, 100, "the test tests nothing")
}

// TestTopicAtOnce: copies that come to all partitions at the same moment have one owner.
func TestTopicAtOnce(t *testing.T) {
	const parts, keys = 4, 3000
	s := openShared(t, testOptions(testutil.NewFS()), parts)
	defer s.close()
	var owners [keys]atomic.Int32
	var group sync.WaitGroup
	for part := range parts {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(part), 1))
			order := rng.Perm(keys)
			for from := 0; from < keys; from += 100 {
				var recs []model.Record
				for i, key := range order[from : from+100] {
					recs = append(recs, model.Record{Offset: int64(from + i), Timestamp: 1000, Key: fmt.Sprint(key)})
				}
				got, err := s.ps[part].Check(records(recs), nil)
				if err != nil {
					panic(err)
				}
				for i, v := range got {
					if v.Kind == engine.Unique {
						owners[order[from+i]].Add(1)
					}
				}
			}
		})
	}
	group.Wait()
	for key := range owners {
		require.EqualValues(t, 1, owners[key].Load(), "key %d", key)
	}
}
