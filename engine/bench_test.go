package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"noecho/engine"
)

// benchKeys is how many keys the store holds before the clock runs: more than the caches do.
const benchKeys = 1 << 20

// perRecord reports the time a record took.
func perRecord(b *testing.B, batch int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/record")
}

// benchStore is a store on disk with benchKeys keys of 32 bytes.
func benchStore(b *testing.B, filter string, cold bool) (*engine.Engine, *engine.Partition) {
	o := engine.Options{Window: time.Hour, Filter: filter, MaxClockLead: -1}
	if cold {
		o = engine.Cold(o)
		o.TableKeys = benchKeys / 8
	}
	e, err := engine.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	p, err := e.Partition("t", 0)
	if err != nil {
		b.Fatal(err)
	}
	recs := benchBatch(1024)
	for at := 0; at < benchKeys; at += len(recs) {
		number(recs, uint64(at), int64(at))
		if _, err := p.Check(recs, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Commit(context.Background(), benchKeys); err != nil {
		b.Fatal(err)
	}
	for cold && !settledDown(e.Metrics()) {
		time.Sleep(time.Millisecond)
	}
	return e, p
}

// settledDown: everything is in the index, and the index is in its final shape.
func settledDown(m engine.Metrics) bool {
	return m.TableBytes == 0 && m.Index.L0Sublevels <= 1 && m.Index.CompactionsActive == 0
}

func benchBatch(n int) []engine.Record {
	recs := make([]engine.Record, n)
	for i := range recs {
		recs[i] = engine.Record{Key: make([]byte, 32), Timestamp: 1}
	}
	return recs
}

// number gives the records the keys and the offsets from these on.
func number(recs []engine.Record, key uint64, offset int64) {
	for i := range recs {
		binary.LittleEndian.PutUint64(recs[i].Key, key+uint64(i))
		recs[i].Offset = offset + int64(i)
	}
}

// BenchmarkCheck: kind is what the records are. new: never seen. recent: copies of keys in the tables. redelivery: taken in
// before. old: copies of keys that only the index holds.
func BenchmarkCheck(b *testing.B) {
	for _, kind := range []string{"new", "recent", "redelivery", "old"} {
		for _, batch := range []int{64, 1024} {
			for _, filter := range []string{engine.FilterSliced, engine.FilterRing} {
				b.Run(fmt.Sprintf("kind=%s/batch=%d/filter=%s", kind, batch, filter), func(b *testing.B) {
					benchCheck(b, kind, batch, filter)
				})
			}
		}
	}
}

func benchCheck(b *testing.B, kind string, n int, filter string) {
	_, p := benchStore(b, filter, kind == "old")
	recs, out := benchBatch(n), make([]engine.Verdict, 0, n)
	key, next := uint64(benchKeys), int64(benchKeys)
	b.ReportAllocs()
	for b.Loop() {
		switch kind {
		case "new":
			number(recs, key, next)
			key, next = key+uint64(n), next+int64(n)
		case "redelivery":
			number(recs, key%benchKeys, int64(key%benchKeys))
			key += 101 * uint64(n)
		default:
			number(recs, key%benchKeys, next)
			key, next = key+101*uint64(n), next+int64(n)
		}
		var err error
		if out, err = p.Check(recs, out[:0]); err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, n)
}

// BenchmarkCommit: a batch of new keys and its commit, by so many partitions at a time, which share syncs.
func BenchmarkCommit(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		b.Run(fmt.Sprintf("partitions=%d/batch=1024", partitions), func(b *testing.B) { benchCommit(b, partitions) })
	}
}

func benchCommit(b *testing.B, partitions int) {
	e, err := engine.Open(b.TempDir(), engine.Options{Window: time.Hour, MaxClockLead: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	work, done := make(chan struct{}), make(chan error, partitions)
	for i := range int32(partitions) {
		p, err := e.Partition("t", i)
		if err != nil {
			b.Fatal(err)
		}
		go func() { done <- commits(p, work) }()
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	for range partitions {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, 1024)
}

// commits takes in and commits a batch of new keys for each token.
func commits(p *engine.Partition, work <-chan struct{}) error {
	recs, next := benchBatch(1024), int64(0)
	var out []engine.Verdict
	for range work {
		number(recs, uint64(next), next)
		next += int64(len(recs))
		var err error
		if out, err = p.Check(recs, out[:0]); err != nil {
			return err
		}
		if err := p.Commit(context.Background(), next); err != nil {
			return err
		}
	}
	return nil
}
