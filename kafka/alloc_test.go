//go:build !race

package kafka

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

func TestKeyAllocs(t *testing.T) {
	r := &kgo.Record{Key: []byte("key"), Value: []byte(`{"id":"value"}`), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("1")}}}
	dst := make([]byte, 0, 1024)
	for _, spec := range []string{"payload", "key", "value", "header:id", "payload+key+header:id"} {
		k := key(t, spec)
		require.Zero(t, testing.AllocsPerRun(100, func() { dst, _ = k.Append(dst[:0], r) }), spec)
	}
}

// TestBatchAllocs: encoding records allocates nothing once the buffers are there; sealing neither.
func TestBatchAllocs(t *testing.T) {
	compressor, err := kgo.DefaultCompressor(kgo.SnappyCompression())
	require.NoError(t, err)
	b := builder{prefix: []byte(sourcePrefix("orders", 0)), compressor: compressor}
	r := &kgo.Record{Key: []byte("key"), Value: make([]byte, 100), Timestamp: time.UnixMilli(1), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("1")}}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 100 {
			b.append(r, nil)
		}
		b.freelist = append(b.freelist, b.seal(1, 0, 0))
	}))
}

// allUnique is a state that passes everything.
type allUnique struct{ partition }

func (allUnique) CheckMarks(recs []engine.Record, dst []engine.Verdict, marks []engine.Mark) ([]engine.Verdict, []engine.Mark, error) {
	for i := range recs {
		marks = append(marks, engine.Mark{Offset: recs[i].Offset, First: recs[i].Offset})
	}
	dst, err := allUnique{}.Check(recs, dst)
	return dst, marks, err
}

func (allUnique) Check(recs []engine.Record, dst []engine.Verdict) ([]engine.Verdict, error) {
	for range recs {
		dst = append(dst, engine.Verdict{Kind: engine.Unique, First: -1})
	}
	return dst, nil
}

// allCopies is a state that has seen everything before.
type allCopies struct{ partition }

func (allCopies) Check(recs []engine.Record, dst []engine.Verdict) ([]engine.Verdict, error) {
	for i := range recs {
		dst = append(dst, engine.Verdict{Kind: engine.Duplicate, First: recs[i].Offset - 1})
	}
	return dst, nil
}

func (allCopies) TakenInBefore(int64) (int64, bool) { return 1, true }

// TestChangesAllocs: what the changelog is to be told costs no allocation, once the buffers are there.
func TestChangesAllocs(t *testing.T) {
	chunk := make([]*kgo.Record, 1000)
	for i := range chunk {
		chunk[i] = &kgo.Record{Key: []byte("key"), Offset: int64(i)}
	}
	key, err := ParseKey("key")
	require.NoError(t, err)
	c := checker{changes: newChanges(func() {})}
	require.Zero(t, testing.AllocsPerRun(20, func() {
		if err := c.check(key, MissingPass, allUnique{}, chunk); err != nil || len(c.changes.marks) != len(chunk) {
			panic(err)
		}
		c.changes.marks, c.changes.end = c.changes.marks[:0], 0
	}))
}

// TestWorkerAllocs: from a chunk of the queue to a sealed batch, and back to the client's pool, a record costs no allocation.
func TestWorkerAllocs(t *testing.T) {
	const n = 1000
	compressor, err := kgo.DefaultCompressor(kgo.SnappyCompression())
	require.NoError(t, err)
	for _, c := range []struct {
		spec   string
		mode   Mode
		choice OnDuplicate
		state  partition
	}{
		{"payload", ModeActive, DuplicateDrop, allUnique{}}, {"key", ModeActive, DuplicateDrop, allUnique{}},
		{"header:id", ModeActive, DuplicateDrop, allUnique{}}, {"key", ModeActive, DuplicateTag, allCopies{}},
		{"key", ModeShadow, DuplicateDrop, allCopies{}}, {"key", ModeBypass, DuplicateDrop, allCopies{}},
	} {
		r := &Relay{cfg: RelayConfig{OnDuplicate: c.choice}}
		r.mode.Store(&c.mode)
		r.member.cfg.Key, r.log = key(t, c.spec), slog.New(slog.DiscardHandler)
		r.batchLimit.Store(1 << 30)
		a := &assignment{m: &r.member, state: c.state, resume: resume{there: -1}, wake: make(chan struct{}, 1)}
		w := &worker{assignment: a, r: r, open: -1, mode: c.mode}
		w.build = builder{prefix: []byte(sourcePrefix("orders", 0)), compressor: compressor}
		value, id, headers := make([]byte, 100), []byte("id"), []kgo.RecordHeader{{Key: "id", Value: []byte("1")}}
		records := make([]kgo.Record, n)
		fetched := make([]*kgo.Record, n)
		require.Zero(t, testing.AllocsPerRun(20, func() {
			for i := range records {
				records[i] = kgo.Record{Key: id, Value: value, Headers: headers, Offset: int64(i) + 1, Timestamp: time.UnixMilli(1)}
				fetched[i] = &records[i]
			}
			w.queue.push(fetched)
			for chunk := w.queue.take(chunkRecords, chunkBytes); len(chunk) > 0; chunk = w.queue.take(chunkRecords, chunkBytes) {
				if err := w.handle(chunk); err != nil {
					panic(err)
				}
			}
			w.build.freelist = append(w.build.freelist, w.build.seal(1, 0, 0))
		}), "%+v", c)
	}
}

// TestHandlingAllocs: from a chunk of the queue to the handler and back, noecho allocates nothing.
func TestHandlingAllocs(t *testing.T) {
	const n = 1000
	for _, concurrency := range []int{0, 2} {
		c, err := newConsumer(ConsumerConfig{Topic: "orders", Group: "g", Recycle: true, Concurrency: concurrency,
			Handler: func(_ context.Context, b Batch) error {
				if b.Redelivered(0) {
					return errBad
				}
				return nil
			}}, namedStore("x"))
		require.NoError(t, err)
		a := &assignment{m: &c.member, state: allUnique{}, wake: make(chan struct{}, 1)}
		c.lease.renew(time.Now())
		h := &handling{assignment: a, c: c, ctx: t.Context(), held: -1}
		value, headers := make([]byte, 100), []kgo.RecordHeader{{Key: "id", Value: []byte("1")}}
		records := make([]kgo.Record, n)
		fetched := make([]*kgo.Record, n)
		require.Zero(t, testing.AllocsPerRun(20, func() {
			for i := range records {
				records[i] = kgo.Record{Key: value[:8], Value: value, Headers: headers, Offset: int64(i), Timestamp: time.UnixMilli(1)}
				fetched[i] = &records[i]
			}
			a.queue.push(fetched)
			for chunk := a.queue.take(chunkRecords, chunkBytes); len(chunk) > 0; chunk = a.queue.take(chunkRecords, chunkBytes) {
				if err := h.handle(chunk); err != nil {
					panic(err)
				}
			}
		}))
	}
}

// TestFilterAllocs: in the steady state a filter allocates nothing, whichever engine call decides.
func TestFilterAllocs(t *testing.T) {
	w := newWorld(t, 1)
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	defer e.Close()
	f := w.newFilter(e, nil)
	records := make([]*kgo.Record, 2000)
	for i := range records {
		records[i] = &kgo.Record{Topic: testIn, Partition: int32(i / 1000), Offset: int64(i % 1000), Key: []byte{byte(i), byte(i >> 8)}, Timestamp: time.UnixMilli(1)}
	}
	passed, err := f.Filter(records, nil)
	require.NoError(t, err)
	require.Len(t, passed, 2000)
	require.Zero(t, testing.AllocsPerRun(20, func() {
		if passed, err = f.Filter(records, passed[:0]); err != nil || len(passed) != 2000 {
			panic(err)
		}
	}))
	f.Close()
}

// TestPoolAllocs: what comes back is handed out again.
func TestPoolAllocs(t *testing.T) {
	p := newRecordPool()
	compressed := make([]byte, 1<<16)
	p.PutDecompressBytes(make([]byte, 1<<17))
	p.PutRecords(make([]kgo.Record, 1000))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		p.PutRecords(p.GetRecords(700))
		p.PutDecompressBytes(p.GetDecompressBytes(compressed, kgo.CodecZstd))
	}))
}
