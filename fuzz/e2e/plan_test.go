package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partitions of most tests; a plan may have others.
const partitions = 4

// originalShare is about the share of a plan's records that are originals.
const originalShare = 0.8

// traceHeader is a header of the producer's own: the relay must keep it.
const traceHeader = "trace"

// plan says what the input holds: for each partition originals numbered from 0, and copies of them. A copy is the same
// key and value once more, later; its timestamp is its own.
type plan struct {
	base  int64 // timestamp of offset 0, milliseconds
	parts []partitionPlan
}

type partitionPlan struct {
	number int32
	rng    *rand.Rand
	offset int64   // of the next record
	firsts []int64 // firsts[n] is the offset of original n

	// A stretch of the past that is being replayed: originals from..from+left-1 come again, in order.
	from, left int
}

func newPlan(seed uint64, parts int) *plan {
	p := &plan{base: time.Now().Add(-time.Hour).UnixMilli(), parts: make([]partitionPlan, parts)}
	for i := range p.parts {
		p.parts[i] = partitionPlan{number: int32(i), rng: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	return p
}

func (p *plan) size() int { return len(p.parts) }

func (p *plan) head(partition int) int64 { return p.parts[partition].offset }

func (p *plan) judge(input string) judge { return newTally(p, input) }

func (p *plan) originals() (n int) {
	for i := range p.parts {
		n += len(p.parts[i].firsts)
	}
	return n
}

func (p *plan) records() (n int64) {
	for i := range p.parts {
		n += p.parts[i].offset
	}
	return n
}

// next chooses the original that the partition's next record is, or is a copy of. One record in five is a copy: retries at once
// (8 %), from anywhere in the past (8 %), and replayed stretches (4 %: one record in 2400 begins one of 100 on average).
func (q *partitionPlan) next() int {
	n := len(q.firsts)
	switch r := q.rng.Float64(); {
	case q.left > 0:
		n = q.from
		q.from++
		q.left--
	case n > 0 && r < 0.083:
		n -= 1 + q.rng.IntN(min(n, 20))
	case n > 0 && r < 0.166:
		n = q.rng.IntN(n)
	case n > 200 && r < 0.1664:
		q.left = q.rng.IntN(200)
		q.from = q.rng.IntN(n - q.left)
		return q.next()
	default:
		q.firsts = append(q.firsts, q.offset)
	}
	q.offset++
	return n
}

// take makes the partition's next record.
func (p *plan) take(partition int, topic string) *kgo.Record {
	q := &p.parts[partition]
	offset := q.offset
	n := q.next()
	return &kgo.Record{
		Topic: topic, Partition: q.number,
		Key: q.key(n), Value: q.value(n),
		Headers:   []kgo.RecordHeader{{Key: traceHeader, Value: q.trace(n)}},
		Timestamp: time.UnixMilli(p.base + offset),
	}
}

func (q *partitionPlan) key(n int) []byte {
	return fmt.Appendf(nil, "order-%d-%d", q.number, n)
}

// value is about 100 bytes and names the original: partition, number, offset.
func (q *partitionPlan) value(n int) []byte {
	return fmt.Appendf(nil, `{"partition":%d,"n":%09d,"offset":%09d,"item":"%016x","note":"left at the door"}`,
		q.number, n, q.firsts[n], uint64(n)*0x9e3779b97f4a7c15)
}

func (q *partitionPlan) trace(n int) []byte { return strconv.AppendInt(nil, int64(n), 36) }

// parse is the inverse of value as far as the oracle needs it.
func parse(value []byte) (partition int32, n int, err error) {
	var offset int64
	_, err = fmt.Sscanf(string(value), `{"partition":%d,"n":%d,"offset":%d,`, &partition, &n, &offset)
	return partition, n, err
}
