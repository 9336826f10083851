package kafka

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// queue holds the fetched records of a partition until its assignment takes them, in the slices that the client made: no
// copy, no allocation a record. Protected by assignment.mu; the gauges are written under it and read by anyone.
//
// Records hold on to the decompressed batch they came in. What is counted is their own memory (memoryOf), so memory held can
// exceed the bound where few records of large batches wait; batches are bounded by DecompressBytes.
type queue struct {
	slices  []queued
	records atomic.Int64
	bytes   atomic.Int64
}

type queued struct {
	records []*kgo.Record
	bytes   int64
}

const (
	recordMemory = 256 // a kgo.Record (about 200 bytes), its pointers here and in the client, and what an allocator adds
	headerMemory = 40  // a kgo.RecordHeader
)

// memoryOf returns about how many bytes a waiting record holds. Its texts alone would not do: a control record or a
// tombstone without a key has none, and any number of them would fit.
func memoryOf(r *kgo.Record) int64 {
	size := recordMemory + headerMemory*cap(r.Headers) + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(size)
}

// push appends the records of one fetch.
func (q *queue) push(records []*kgo.Record) {
	if len(records) == 0 {
		return
	}
	size := int64(0)
	for _, r := range records {
		size += memoryOf(r)
	}
	q.slices = append(q.slices, queued{records, size})
	q.records.Add(int64(len(records)))
	q.bytes.Add(size)
}

// take removes and returns a part of the oldest slice: up to n records, and no more than fill about size bytes. A slice's
// bytes count until its last record goes; so the bound errs to the safe side.
func (q *queue) take(n, size int) []*kgo.Record {
	if len(q.slices) == 0 {
		return nil
	}
	head := &q.slices[0]
	n = min(n, len(head.records))
	for i, r := range head.records[:n] {
		if size -= len(r.Key) + len(r.Value); size < 0 {
			n = i + 1
			break
		}
	}
	taken := head.records[:n]
	head.records = head.records[n:]
	q.records.Add(-int64(n))
	if len(head.records) == 0 {
		q.bytes.Add(-head.bytes)
		copy(q.slices, q.slices[1:])
		q.slices[len(q.slices)-1] = queued{}
		q.slices = q.slices[:len(q.slices)-1]
	}
	return taken
}

func (q *queue) drop() {
	q.slices = nil
	q.records.Store(0)
	q.bytes.Store(0)
}
