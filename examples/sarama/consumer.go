package main

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"noecho/engine"
)

// batchRecords bounds what is checked and committed together: a commit waits for the disk.
const batchRecords = 500

// consumer is the group's handler. sarama calls ConsumeClaim in a goroutine of its own for each partition that it is given.
type consumer struct {
	engine *engine.Engine
	handle func(*sarama.ConsumerMessage) error
	stop   context.CancelCauseFunc
}

func (c *consumer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *consumer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim has the partition until Messages is closed. Then its handle goes back to the engine, for the next claim.
func (c *consumer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) (err error) {
	defer func() {
		if err != nil {
			c.stop(err) // sarama would log it and go on
		}
	}()
	p, err := c.engine.Partition(claim.Topic(), claim.Partition())
	if err != nil {
		return err
	}
	defer p.Close()
	var records []engine.Record
	var verdicts []engine.Verdict
	for batch := next(claim.Messages()); len(batch) > 0; batch = next(claim.Messages()) {
		records = records[:0]
		for _, m := range batch {
			if len(m.Key) == 0 {
				return fmt.Errorf("%s/%d/%d has no key: all that have none would be copies of it", m.Topic, m.Partition, m.Offset)
			}
			records = append(records, engine.Record{Key: m.Key, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli()})
		}
		if verdicts, err = p.Check(records, verdicts[:0]); err != nil {
			return err
		}
		for i, v := range verdicts {
			if v.Kind == engine.Duplicate {
				continue // a copy of the record at offset v.First
			}
			if err := c.handle(batch[i]); err != nil {
				return err // not committed: it is delivered again, and passes again
			}
		}
		done := batch[len(batch)-1].Offset + 1
		if err := p.Commit(context.WithoutCancel(session.Context()), done); err != nil {
			return err
		}
		// Only now: sarama commits what is marked, each second and when the partition goes.
		session.MarkOffset(claim.Topic(), claim.Partition(), done, "")
	}
	return nil
}

// next waits for a message and takes what else is there. It returns nothing when the claim is over.
func next(messages <-chan *sarama.ConsumerMessage) (batch []*sarama.ConsumerMessage) {
	for m := range messages {
		batch = append(batch, m)
		if len(batch) == batchRecords || len(messages) == 0 {
			break
		}
	}
	return batch
}
