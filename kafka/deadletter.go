package kafka

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a dead letter, behind the record's own.
const (
	errorHeader    = "noecho-error"    // what the handler said last, at most maxErrorText bytes
	attemptsHeader = "noecho-attempts" // how often it was tried, in digits
)

const maxErrorText = 1024

// writeDeadLetters writes what passed and failed to the dead-letter topic, and returns when all of it is acknowledged by all
// replicas in sync. Key, value and headers are the record's own, the timestamp is now: with the record's, an old one would
// fall to the retention of the topic before anybody has looked at it.
//
// Where it does not return nil, some may still be on their way: the chunk must not be recycled, and is not.
//
// It is the client's own producer that writes: an order in which nothing may follow a failure, which the relay's output needs, is
// not asked for here.
func (h *handling) writeDeadLetters() error {
	answers := make(chan error, len(h.passed))
	for i, r := range h.passed {
		text := h.causes[i].Error()
		headers := append(slices.Clone(r.Headers),
			kgo.RecordHeader{Key: errorHeader, Value: []byte(text[:min(len(text), maxErrorText)])},
			kgo.RecordHeader{Key: attemptsHeader, Value: strconv.AppendInt(nil, int64(h.c.cfg.Retry.Attempts), 10)},
			kgo.RecordHeader{Key: sourceHeader, Value: strconv.AppendInt([]byte(sourcePrefix(h.c.cfg.Topic, h.part)), r.Offset, 10)})
		letter := &kgo.Record{Topic: h.c.cfg.DeadLetterTopic, Key: r.Key, Value: r.Value, Headers: headers}
		h.c.cl.Produce(h.ctx, letter, func(_ *kgo.Record, err error) { answers <- err })
	}
	for range h.passed {
		select {
		case err := <-answers:
			if h.ctx.Err() != nil {
				return errKilled
			}
			if err != nil {
				return &DeadLetterError{Topic: h.c.cfg.Topic, Partition: h.part, First: h.passed[0].Offset, Last: h.passed[len(h.passed)-1].Offset,
					DeadLetterTopic: h.c.cfg.DeadLetterTopic, Err: err}
			}
		case <-h.ctx.Done():
			return errKilled
		}
	}
	return nil
}
