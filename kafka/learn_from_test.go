package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/internal/testutil"
)

func learnFrom(f LearnFrom) func(*RelayConfig) {
	return func(cfg *RelayConfig) { oneName(cfg); cfg.LearnFrom = f }
}

// TestLearnFrom: 600 records, a minute apart, and a window that begins at the 530th. A bound within it holds, to the offset: the copy
// of the record before it passes, and that of the one there does not. Where the window begins later, the window does.
func TestLearnFrom(t *testing.T) {
	const first = 1_700_000_400_000 / 600_000 * 600_000
	at := func(minute int64) LearnFrom {
		return LearnFrom(time.UnixMilli(first + minute*60_000).UTC().Format(time.RFC3339))
	}
	for _, c := range []struct {
		name    string
		bound   LearnFrom
		from    int64
		why     LearnReason
		bounded uint64
	}{
		{"window", LearnFromWindow, 530, LearnReasonWindow, 0},
		{"earliest", LearnFromEarliest, 0, LearnReasonStore, 0},
		{"duration", "30m", 569, LearnReasonBound, 1},
		{"duration longer than the window", "3h", 530, LearnReasonWindow, 0},
		{"time", at(580), 580, LearnReasonBound, 1},
		{"time between two records", LearnFrom(time.UnixMilli(first + 580*60_000 + 1000).UTC().Format(time.RFC3339)), 581, LearnReasonBound, 1},
		{"time before the window", at(20), 530, LearnReasonWindow, 0},
		{"time before the log", "1971-01-01T00:00:00+02:00", 530, LearnReasonWindow, 0},
		{"time beyond the end", at(1000), 600, LearnReasonBound, 1},
		{"offsets back", "-5", 595, LearnReasonBound, 1},
		{"offsets back, more than there are", "-100000", 530, LearnReasonWindow, 0},
		{"offset", "0:590,1:7", 590, LearnReasonBound, 1},
		{"offset before the window", "0:5", 530, LearnReasonWindow, 0},
		{"offset beyond the end", "0:10000", 600, LearnReasonBound, 1},
		{"offset of another partition", "1:590", 530, LearnReasonWindow, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.window = time.Hour // ten minutes a bucket
			stamped := func(key int64, minute int64) *kgo.Record {
				r := rec(0, fmt.Sprint(key), "v")
				r.Timestamp = time.UnixMilli(first + minute*60_000)
				return r
			}
			for i := range int64(600) {
				w.feed(stamped(i, i))
			}
			w.run(oneName)
			w.fs = testutil.NewFS()
			want := w.fed[0]
			for _, key := range []int64{c.from - 1, c.from} {
				if c.from > 0 && key < 600 {
					w.feed(stamped(key, 599))
				}
			}
			if c.from > 0 {
				want = append(want, w.fed[0][600])
			}
			stats := w.run(learnFrom(c.bound))
			p := stats.Partitions[0]
			require.Equal(t, c.from, p.LearnFrom)
			require.Equal(t, c.why, p.LearnWhy)
			require.EqualValues(t, 600-c.from, p.Learned)
			require.Equal(t, p.LearnTarget, p.LearnAt)
			require.Equal(t, Missing{None: 1, Bounded: c.bounded}, stats.Missing)
			requireSame(t, 0, want[590:], w.output()[0][590:])
			again := w.run(learnFrom(c.bound))
			require.Equal(t, Learning{}, again.Partitions[0].Learning, "once is enough")
			require.Zero(t, again.Missing)
		})
	}
}

// TestLearnFromEarliest: the verdicts are those of the store that was lost. A copy whose original is older than the window owns no key, so
// a copy of it is an original again; learned from the window on it is taken for one.
func TestLearnFromEarliest(t *testing.T) {
	for from, want := range map[LearnFrom]int{LearnFromEarliest: 3, LearnFromWindow: 2} {
		w := newWorld(t, 1)
		w.window = time.Hour // ten minutes a bucket
		at := func(key string, minute int64) {
			r := rec(0, key, "v")
			r.Timestamp = time.UnixMilli(1_700_000_400_000/600_000*600_000 + minute*60_000)
			w.feed(r)
		}
		at("a", 0)
		at("a", 59)
		at("b", 70)
		w.run(oneName)
		require.Len(t, w.output()[0], 2)
		w.fs = testutil.NewFS()
		at("a", 75)
		w.run(learnFrom(from))
		require.Len(t, w.output()[0], want, from)
	}
}

// TestLearnFromWithoutTimestamps: a bound by time leaves nothing out where nothing has a time. One by offsets holds.
func TestLearnFromWithoutTimestamps(t *testing.T) {
	for bound, want := range map[LearnFrom]Learning{
		"1ms":                  {Learned: 4, LearnWhy: LearnReasonStore, LearnAt: 4, LearnTarget: 4},
		"2100-01-01T00:00:00Z": {Learned: 4, LearnWhy: LearnReasonStore, LearnAt: 4, LearnTarget: 4},
		"-1":                   {Learned: 1, LearnFrom: 3, LearnWhy: LearnReasonBound, LearnAt: 4, LearnTarget: 4},
		"0:2":                  {Learned: 2, LearnFrom: 2, LearnWhy: LearnReasonBound, LearnAt: 4, LearnTarget: 4},
	} {
		t.Run(string(bound), func(t *testing.T) {
			w := newWorld(t, 1)
			for i := range 4 {
				r := rec(0, fmt.Sprint(i), "v")
				r.Timestamp = time.UnixMilli(-1)
				w.feed(r)
			}
			w.run(oneName)
			w.fs = testutil.NewFS()
			require.Equal(t, want, w.run(learnFrom(bound)).Partitions[0].Learning)
		})
	}
}

// TestLearnFromAndRetention: what retention has removed is not the bound's doing, and the other way round.
func TestLearnFromAndRetention(t *testing.T) {
	for _, c := range []struct {
		bound   LearnFrom
		from    int64
		why     LearnReason
		missing Missing
	}{
		{"0:1", 2, LearnReasonLog, Missing{None: 1, Retention: 1}},
		{"0:2", 2, LearnReasonLog, Missing{None: 1, Retention: 1}},
		{LearnFromEarliest, 2, LearnReasonLog, Missing{None: 1, Retention: 1}},
		{"-3", 2, LearnReasonLog, Missing{None: 1, Retention: 1}},
		{"0:3", 3, LearnReasonBound, Missing{None: 1, Bounded: 1}},
	} {
		t.Run(string(c.bound), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(rec(0, "a", "1"), rec(0, "b", "1"), rec(0, "c", "1"), rec(0, "d", "1"))
			w.run(oneName)
			w.fs = testutil.NewFS()
			require.NoError(t, w.cluster.DeleteRecords(testIn, 0, 2))
			w.feed(rec(0, "e", "1"))
			stats := w.run(learnFrom(c.bound))
			require.Equal(t, c.from, stats.Partitions[0].LearnFrom)
			require.Equal(t, c.why, stats.Partitions[0].LearnWhy)
			require.EqualValues(t, 4-c.from, stats.Learned)
			require.Equal(t, c.missing, stats.Missing)
		})
	}
}

// TestLearnFromIsSaid: the log says what the bound has left out.
func TestLearnFromIsSaid(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	var lines bytes.Buffer
	w.run(func(cfg *RelayConfig) {
		learnFrom("-1")(cfg)
		cfg.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	})
	require.Contains(t, lines.String(), `level=WARN msg="learn_from leaves out records of the window that the store does not know: copies of these pass" `+
		"topic=orders partition=0 learn_from=-1 from=0 to=1\n")
	require.Contains(t, lines.String(), "learning it from the input\" topic=orders partition=0 from=1 to=2 begins_by=learn_from\n")
}

// TestLearnFromOfAStoreThatIsBehind: the bound is of what it does not know.
func TestLearnFromOfAStoreThatIsBehind(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	mine := w.fs
	w.fs = testutil.NewFS()
	w.feed(rec(0, "c", "1"), rec(0, "d", "1"), rec(0, "e", "1"))
	w.run(oneName)
	w.fs = mine
	w.feed(rec(0, "a", "2"), rec(0, "c", "2"), rec(0, "d", "2"))
	stats := w.run(learnFrom("-2"))
	require.EqualValues(t, 2, stats.Learned)
	require.Equal(t, Missing{Behind: 1, Bounded: 1}, stats.Missing)
	w.requireOutput(func(int32) []*kgo.Record { return w.fed[0][6:7] })
}

// TestLearnFromAndAChangelog: the changelog is read whole, whatever the bound. And who learned with a bound does not tell others that it
// knows what came before.
func TestLearnFromAndAChangelog(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(53, 1)), 1, 200)...)
	w.run(withoutChangelog)
	w.fs = testutil.NewFS()
	stats := w.run(learnFrom("-20"))
	require.EqualValues(t, 20, stats.Learned)
	require.EqualValues(t, 1, stats.Missing.Bounded)
	w.feed(rec(0, "told", "x"))
	w.run(nil)

	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	stats = w.run(nil)
	require.EqualValues(t, 201, stats.Learned, "what the changelog tells lies behind a hole")
	w.requireClean()

	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	stats = w.run(learnFrom("-1"))
	require.Zero(t, stats.Learned)
	require.Zero(t, stats.Missing.Bounded)
	require.Equal(t, LearnReasonChangelog, stats.Partitions[0].LearnWhy)
	w.requireClean()
}

// TestLearnFromBeyondTheEndAndAChangelog: a bound in the future is not written into the changelog as a time, where a broker would refuse it; and
// what was left out is a hole there.
func TestLearnFromBeyondTheEndAndAChangelog(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(withoutChangelog)
	w.fs = testutil.NewFS()
	w.feed(rec(0, "c", "1"))
	stats := w.run(learnFrom("2100-01-01T00:00:00Z"))
	require.EqualValues(t, 1, stats.Missing.Bounded)
	told := w.read(testLog)[0]
	require.NotEmpty(t, told)
	for _, r := range told {
		require.Equal(t, w.fed[0][2].Timestamp.UnixMilli(), r.Timestamp.UnixMilli())
	}
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	require.EqualValues(t, 3, w.run(nil).Learned)
	w.requireClean()
}

// TestLearnFromHoleGrowsOld: what a bound by time has left out is known to be older than that, so a window later the changelog is enough. Of
// what a bound by offset left out nobody knows how old it is, and the input has to tell.
func TestLearnFromHoleGrowsOld(t *testing.T) {
	for bound, want := range map[LearnFrom]bool{"20m": true, "-21": false} {
		w := changelogWorld(t, 1)
		w.window = time.Hour
		feed := func(from, to int64) {
			for i := from; i < to; i++ {
				r := rec(0, fmt.Sprint(i), "v")
				r.Timestamp = time.UnixMilli(1_700_000_400_000/600_000*600_000 + i*60_000)
				w.feed(r)
			}
		}
		feed(0, 100)
		w.run(withoutChangelog)
		w.fs = testutil.NewFS()
		l := w.start(nil, learnFrom(bound))
		w.eventually("a start", func() bool { return l.relay.Stats().Learned == 21 })
		feed(100, 200)
		l.settle()
		l.stop()
		w.fs = testutil.NewFS()
		stats := w.run(nil)
		require.Equal(t, want, stats.Learned == 0, "%s: %d learned from the input", bound, stats.Learned)
	}
}

// TestLearnFromAndScopeTopic: what the output has is taken in before any partition goes on, whatever the bound.
func TestLearnFromAndScopeTopic(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(spread(rand.New(rand.NewPCG(54, 1)), 2, 0, 400)...)
	h, arm := w.trap(beforeMarks, 1, 100, 1)
	l := w.prepare(h, topicWide)
	arm(l)
	l.start()
	<-l.dead
	l.bury()
	arm(nil)
	w.fs = testutil.NewFS()
	stats := w.run(func(cfg *RelayConfig) { topicWide(cfg); cfg.LearnFrom = "0:100000,1:100000" })
	require.Positive(t, stats.Learned)
	require.Zero(t, stats.Missing.Bounded)
	w.requireEach(1)
}

// TestConsumerLearnFrom: a consumer has the bound too, and shows how far it is.
func TestConsumerLearnFrom(t *testing.T) {
	w, b := newWorld(t, 1), newBook()
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	one := func(cfg *ConsumerConfig) { cfg.InstanceID = "one" }
	l := w.consume(b.handle, one)
	l.settle()
	l.stop()
	w.fs = testutil.NewFS()
	w.feed(rec(0, "a", "2"), rec(0, "b", "2"))
	l = w.consume(b.handle, func(cfg *ConsumerConfig) { one(cfg); cfg.LearnFrom = "0:1" })
	l.settle()
	stats := l.c.Stats()
	l.stop()
	require.Equal(t, []int64{0, 1, 2}, b.of(0))
	require.Equal(t, Learning{Learned: 1, LearnFrom: 1, LearnWhy: LearnReasonBound, LearnAt: 2, LearnTarget: 2}, stats.Partitions[0].Learning)
	require.Equal(t, Missing{None: 1, Bounded: 1}, stats.Missing)
	require.EqualValues(t, 1, stats.Learned)
}

// TestLearnFromConfig: what is no bound, bounds nothing, or names what is not there is refused.
func TestLearnFromConfig(t *testing.T) {
	ok := RelayConfig{Input: "a", Output: "b", Group: "g"}
	for _, f := range []LearnFrom{"", "window", "earliest", "1ms", "6h", "2026-11-27T06:00:00+02:00", "-1", "0:0", "0:1200, 1:980"} {
		ok.LearnFrom = f
		require.NoError(t, ok.Validate(), f)
	}
	for _, f := range []LearnFrom{"latest", "-6h", "0s", "999us", "7d", "1000000", "-0", "--5", "2026-11-27", "0:", ":5", "0:1,0:2", "0:-1", "-1:5", "0:1,", "99999999999:1"} {
		ok.LearnFrom = f
		require.ErrorContains(t, ok.Validate(), "is none of window, earliest, a duration back like 6h", f)
	}
	ok.LearnFrom, ok.Learn = "6h", LearnOff
	require.ErrorContains(t, ok.Validate(), "learn_from is 6h, but learn is off")

	w := newWorld(t, 2)
	var topic *TopicError
	require.ErrorAs(t, w.preflight(func(cfg *RelayConfig) { cfg.LearnFrom = "1:5,2:5" }), &topic)
	require.ErrorContains(t, topic, "learn_from names partition 2, and it has 2")
	require.NoError(t, w.preflight(func(cfg *RelayConfig) { cfg.LearnFrom = "0:5,1:5" }))
}
