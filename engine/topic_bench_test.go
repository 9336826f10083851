package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"noecho/engine"
)

// BenchmarkTopic: what it costs to ask the other partitions. new: never seen anywhere. elsewhere: copies of keys that another partition has in
// its tables. old: of keys that another has in its index only. own: the same partitions, each on its own, new keys.
func BenchmarkTopic(b *testing.B) {
	for _, kind := range []string{"own", "new", "elsewhere", "old"} {
		for _, partitions := range []int{2, 8, 32} {
			b.Run(fmt.Sprintf("kind=%s/partitions=%d/batch=1024", kind, partitions), func(b *testing.B) { benchTopic(b, kind, partitions) })
		}
	}
}

func benchTopic(b *testing.B, kind string, partitions int) {
	const n = 1024
	o := engine.Options{Window: time.Hour, MaxClockLead: -1}
	if kind == "old" {
		o = engine.Cold(o)
		o.TableKeys = benchKeys / 8 / partitions
	}
	e, err := engine.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	claim := e.Topic("t").Partition
	if kind == "own" {
		claim = func(part int32) (*engine.Partition, error) { return e.Partition("t", part) }
	}
	recs, out := benchBatch(n), make([]engine.Verdict, 0, n)
	ps, next := make([]*engine.Partition, partitions), make([]int64, partitions)
	check := func(part int, key uint64) {
		number(recs, key, next[part])
		next[part] += n
		if out, err = ps[part].Check(recs, out[:0]); err != nil {
			b.Fatal(err)
		}
	}
	for i := range ps {
		if ps[i], err = claim(int32(i)); err != nil {
			b.Fatal(err)
		}
	}
	for at := uint64(0); at < benchKeys; at += n {
		check(int(at/n)%partitions, at)
	}
	for i, p := range ps {
		if err := p.Commit(context.Background(), next[i]); err != nil {
			b.Fatal(err)
		}
	}
	for kind == "old" && e.Metrics().Unsealed > 0 {
		time.Sleep(time.Millisecond)
	}
	batch, fresh := 0, uint64(benchKeys)
	b.ReportAllocs()
	for b.Loop() {
		batch++
		switch kind {
		case "own", "new":
			check(batch%partitions, fresh)
			fresh += n
		default: // of the partition before
			home := uint64(batch * 7 % (benchKeys / n))
			check(int(home+1)%partitions, home*n)
		}
	}
	perRecord(b, n)
}
