package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/engine"
	"noecho/internal/model"
	"noecho/internal/testutil"
)

// TestMarksMakeAnEqualStore: a store that was told another one's marks gives its verdicts from there on, also when the first one
// crashed on the way and told some of them twice.
func TestMarksMakeAnEqualStore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := randomOptions(rt, testutil.NewFS())
		o.Seed = []byte("0123456789abcdef")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 40))
		first := openStore(quiet{t, rt}, o)
		log := timedLog(rng, 400, o.Window.Milliseconds())
		told := make(map[int64]engine.Mark)
		at := 0
		for cut := 50 + rng.IntN(300); at < cut; {
			n := 1 + rng.IntN(40)
			batch := log[at:min(at+n, len(log))]
			_, marks, err := first.p.CheckMarks(records(batch), nil, nil)
			require.NoError(rt, err)
			at += len(batch)
			for _, m := range marks {
				told[m.Offset] = m
			}
			switch rng.IntN(4) {
			case 0:
				first.commit(batch[len(batch)-1].Offset + 1)
			case 1:
				first.crash(50, rng.Uint64())
				at = int(max(0, first.p.Committed())) / 2 // offsets are even
				for offset := range told {
					if offset >= int64(2*at) {
						delete(told, offset)
					}
				}
			}
		}
		var marks []engine.Mark
		for _, r := range log[:at] {
			if m, ok := told[r.Offset]; ok {
				marks = append(marks, m)
			}
		}
		marks = needed(marks, o)
		o.FS = testutil.NewFS()
		second := openStore(quiet{t, rt}, o)
		require.NoError(rt, second.p.TakeIn(marks))
		require.NoError(rt, second.p.TakeIn(marks), "again: all of it is known")
		if at > 0 {
			first.commit(log[at-1].Offset + 1)
			second.commit(log[at-1].Offset + 1)
		}
		require.Equal(rt, verdicts(first.check(log[at:])), verdicts(second.check(log[at:])))
		first.close()
		second.close()
	})
}

// needed leaves out the marks that the last one's record cannot see.
func needed(marks []engine.Mark, o engine.Options) []engine.Mark {
	delta := o.Window.Milliseconds() / int64(o.Buckets)
	for len(marks) > 0 && marks[0].Time/delta < marks[len(marks)-1].Time/delta-int64(o.Buckets) {
		marks = marks[1:]
	}
	return marks
}

// timedLog makes records with even offsets, few keys, and times that pass several windows, and go back.
func timedLog(rng *rand.Rand, n int, window int64) (log []model.Record) {
	now := int64(1_700_000_000_000)
	for i := range n {
		now += []int64{0, 0, 1, window / 50, window / 7}[rng.IntN(5)]
		back := []int64{0, 0, window / 3}[rng.IntN(3)]
		log = append(log, model.Record{Offset: int64(2 * i), Timestamp: now - back, Key: fmt.Sprint(rng.IntN(30))})
	}
	return log
}

// verdicts are what the caller does: whether it drops, and of what the record is a copy.
func verdicts(vs []engine.Verdict) (out []string) {
	for _, v := range vs {
		out = append(out, fmt.Sprint(v.Kind == engine.Duplicate, v.First))
	}
	return out
}

// TestForgottenByHash: as by key, in a store that only knows the hash.
func TestForgottenByHash(t *testing.T) {
	o := testOptions(testutil.NewFS())
	o.Seed = []byte("0123456789abcdef")
	s := openStore(t, o)
	_, marks, err := s.p.CheckMarks([]engine.Record{{Key: []byte("a"), Offset: 1, Timestamp: 5}, {Key: []byte("a"), Offset: 2, Timestamp: 5}}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, []engine.Mark{{Hash: s.e.Hash([]byte("a")), Offset: 1, First: 1, Time: 5}}, marks)
	require.NoError(t, s.p.ForgetHash(marks[0].Hash))
	vs, err := s.p.Check([]engine.Record{{Key: []byte("a"), Offset: 3, Timestamp: 5}}, nil)
	require.NoError(t, err)
	require.Equal(t, engine.Unique, vs[0].Kind)
}

// TestHashID: stores that hash alike say so, and others do not.
func TestHashID(t *testing.T) {
	id := func(edit func(o *engine.Options)) (uint64, bool) {
		o := testOptions(testutil.NewFS())
		edit(&o)
		return openStore(t, o).e.HashID()
	}
	seed := func(o *engine.Options) { o.Seed = []byte("0123456789abcdef") }
	one, shared := id(seed)
	require.True(t, shared)
	other, _ := id(seed)
	require.Equal(t, one, other)
	other, _ = id(func(o *engine.Options) { seed(o); o.Buckets = 3 })
	require.NotEqual(t, one, other)
	other, shared = id(func(*engine.Options) {})
	require.NotEqual(t, one, other)
	require.False(t, shared)
}

// TestMarksOutOfOrder: nothing of them is taken in.
func TestMarksOutOfOrder(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	var order *engine.OrderError
	require.ErrorAs(t, s.p.TakeIn([]engine.Mark{{Offset: 2}, {Offset: 2}}), &order)
	_, to := s.p.Coverage()
	require.Zero(t, to)
}
