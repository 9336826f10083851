package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

const batchRecords = 200

// exactlyOnce uses the engine in a poll loop of its own, without a group: the position is in the database.
func exactlyOnce(ctx context.Context, o options, db *pgxpool.Pool, e *engine.Engine) error {
	seeds := kgo.SeedBrokers(o.brokers...)
	log, err := ends(ctx, seeds, o.topic)
	if err != nil {
		return err
	}
	partitions, from := map[int32]*partition{}, map[int32]kgo.Offset{}
	for number, first := range log {
		p := &partition{db: db, topic: o.topic, number: number}
		start, err := p.open(ctx, e, first)
		if err != nil {
			return err
		}
		partitions[number], from[number] = p, kgo.NewOffset().At(start)
	}
	cl, err := kgo.NewClient(seeds, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // an aborted record must not own a key
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))  // an offset that is gone is an error, not a new start
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollRecords(ctx, batchRecords)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		var failed error
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if failed == nil && len(f.Records) > 0 {
				failed = partitions[f.Partition].take(ctx, f.Records)
			}
		})
		if failed != nil {
			if ctx.Err() != nil {
				return nil // nothing is half done: the database has all of the batch, or nothing
			}
			return failed
		}
	}
}

// ends gives the first offset that each partition's log still has.
func ends(ctx context.Context, seeds kgo.Opt, topic string) (map[int32]int64, error) {
	cl, err := kgo.NewClient(seeds)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListStartOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	first := map[int32]int64{}
	for number, l := range listed[topic] {
		first[number] = l.Offset
	}
	return first, err
}

// partition is one partition, its marks and its position. The poll loop owns it.
type partition struct {
	db     *pgxpool.Pool
	topic  string
	number int32
	marks  *engine.Partition
	next   int64 // the position in the database. The engine's committed offset is not above it

	recs     []engine.Record // scratch
	verdicts []engine.Verdict
	passed   []*kgo.Record
}

// open returns where to read from: what the database has had, and the engine has not, is read again for its marks.
func (p *partition) open(ctx context.Context, e *engine.Engine, first int64) (start int64, err error) {
	if p.marks, err = e.Partition(p.topic, p.number); err != nil {
		return 0, err
	}
	if p.next, err = position(ctx, p.db, p.topic, p.number); err != nil {
		return 0, err
	}
	if p.next > 0 && p.next < first {
		return 0, fmt.Errorf("%s/%d: the database is at offset %d, and the log begins at %d: records are lost", p.topic, p.number, p.next, first)
	}
	return max(min(p.next, p.marks.Committed()), first), nil
}

// take brings one batch into the database.
func (p *partition) take(ctx context.Context, records []*kgo.Record) error {
	p.recs, p.passed = p.recs[:0], p.passed[:0]
	for _, r := range records {
		if len(r.Key) == 0 {
			return fmt.Errorf("%s/%d/%d has no key: all that have none would be copies of it", r.Topic, r.Partition, r.Offset)
		}
		p.recs = append(p.recs, engine.Record{Key: r.Key, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()})
	}
	var err error
	if p.verdicts, err = p.marks.Check(p.recs, p.verdicts[:0]); err != nil {
		return err
	}
	for i, v := range p.verdicts {
		if v.Kind != engine.Duplicate && records[i].Offset >= p.next {
			p.passed = append(p.passed, records[i])
		}
	}
	next := records[len(records)-1].Offset + 1
	if next > p.next {
		if err := sell(ctx, p.db, p.topic, p.number, p.next, next, p.passed); err != nil {
			return err
		}
		p.next = next
	}
	return p.marks.Commit(ctx, next) // after the database: so it is never ahead
}
