package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDuplicatesAreWhatASetSays: the count that a source gives is the one of a plain set, for every row.
func TestDuplicatesAreWhatASetSays(t *testing.T) {
	for _, w := range All {
		t.Run(w.Name, func(t *testing.T) {
			const n, past = 20_000, 4_000
			s, set := w.NewSource(3, n+past), map[string]bool{}
			b := w.NewBatch(w.Batch)
			offset, ts, copies, records := int64(0), int64(0), 0, 0
			check := func() {
				copiesHere := 0
				for _, r := range b.Records {
					require.Len(t, r.Key, w.Key.Len())
					require.Equal(t, offset, r.Offset)
					require.GreaterOrEqual(t, r.Timestamp, ts)
					offset, ts = offset+1, r.Timestamp
					if set[string(r.Key)] {
						copiesHere++
					}
					set[string(r.Key)] = true
				}
				require.Equal(t, copiesHere, b.Duplicates)
				copies += copiesHere
				records += len(b.Records)
			}
			if w.Past > 0 {
				for s.Offset() < past {
					s.Past(b, min(w.Batch, int(past-s.Offset())))
					check()
				}
				require.Zero(t, copies)
				records = 0
			}
			for records < n {
				s.Fill(b, w.Batch)
				if len(b.Records) == 0 {
					break
				}
				check()
			}
			share := float64(copies) / float64(records)
			switch w.Mix {
			case Fresh:
				require.InDelta(t, w.Percent/100, share, 0.01)
			case Replay:
				require.Equal(t, past, records)
				require.EqualValues(t, 1, share)
			case Zipf:
				require.Greater(t, share, 0.5)
				require.Less(t, share, 0.95)
			}
			require.Less(t, ts-epoch, Window.Milliseconds()*7/6, "the first bucket is dead")
		})
	}
}

// TestNearIsNear: a near copy has its original among the last Near ids, a far one anywhere.
func TestNearIsNear(t *testing.T) {
	for _, far := range []bool{false, true} {
		w := Workload{Percent: 50, Far: far}.withDefaults()
		s, first := w.NewSource(0, 1<<20), map[string]int64{}
		b, worst := w.NewBatch(w.Batch), int64(0)
		for s.Offset() < 1<<18 {
			s.Fill(b, w.Batch)
			for _, r := range b.Records {
				if f, ok := first[string(r.Key)]; ok {
					worst = max(worst, r.Offset-f)
				} else {
					first[string(r.Key)] = r.Offset
				}
			}
		}
		require.Equal(t, far, worst > 3*Near, "the farthest copy is %d records away", worst)
	}
}

// TestSourceIsDeterministic: the same row, partition and total give the same records, another partition none of them.
func TestSourceIsDeterministic(t *testing.T) {
	for _, w := range All {
		keys := func(partition int32) (all []string) {
			s, b := w.NewSource(partition, 1000), w.NewBatch(100)
			s.Past(b, 100)
			for range 2 {
				for _, r := range b.Records {
					all = append(all, string(r.Key))
				}
				s.Fill(b, 100)
			}
			return all
		}
		require.Equal(t, keys(0), keys(0))
		other := map[string]bool{}
		for _, k := range keys(1) {
			other[k] = true
		}
		for _, k := range keys(0) {
			require.False(t, other[k])
		}
	}
}

// TestForms pins the keys: a store that was built with one build of the bench can be used with the next.
func TestForms(t *testing.T) {
	for form, want := range map[Form]string{
		Raw16:  "g\xec\x8ee\xa1\x8d\xeb\xbehț©\x1a\x8bw",
		UUID36: "1ad8beeb-76ce-e856-9aa1-b877868cb92c",
		URL200: urlPrefix[:168] + "1ad8beeb76cee8569aa1b877868cb92c",
	} {
		key := make([]byte, form.Len())
		form.prepare(key)
		form.write(key, 1, 2)
		require.Equal(t, want, string(key))
	}
}

// TestFillIsCheap: the records are made inside everyone's clock, so they must cost next to nothing: no allocation, and far less
// than the fastest peer. The bound is loose, because tests share the machine.
func TestFillIsCheap(t *testing.T) {
	for _, w := range All {
		s, b := w.NewSource(0, 1<<20), w.NewBatch(1024)
		s.Past(b, 1024)
		require.Zero(t, testing.AllocsPerRun(10, func() { s.Fill(b, len(b.Records)) }), w.Name)
	}
	if raceEnabled {
		return // every access to memory is watched: the time says nothing
	}
	w, _ := Find("new")
	s, b := w.NewSource(0, 1<<30), w.NewBatch(1024)
	best := time.Hour
	for range 100 {
		begin := time.Now()
		s.Fill(b, 1024)
		best = min(best, time.Since(begin))
	}
	t.Logf("%.1f ns a key at best", float64(best)/1024)
	require.Less(t, best, 1024*25*time.Nanosecond)
}

func BenchmarkFill(b *testing.B) {
	for _, w := range All {
		if w.Mix == Replay {
			continue
		}
		b.Run(w.Name, func(b *testing.B) {
			s, batch := w.NewSource(0, 1<<26), w.NewBatch(1024)
			for b.Loop() {
				s.Fill(batch, 1024)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/record")
		})
	}
}
