package kafka

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a dead letter, behind the record's own.
const (
	errorHeader    = "noecho-error"    // what the handler said last, at most maxErrorText bytes
	attemptsHeader = "noecho-attempts" // how often it was tried, in digits
	omittedHeader  = "noecho-omitted"  // what of the record was too large for the topic: one of omissions; before the source
)

const maxErrorText = 1024

// omissions are what a letter that is too large is written without, from one try to the next. What is missing is still in the input, at the place that
// noecho-source names. The naive way stops: then the next start comes to the same record, and so on for ever, though the operator has
// said that the consumer should go on.
var omissions = []string{"", "value", "value+headers", "value+headers+key"}

// writeDeadLetters writes what passed and failed to the dead-letter topic, and returns when all of it is acknowledged by all
// replicas in sync. Key, value and headers are the record's own, the timestamp is now: with the record's, an old one would
// fall to the retention of the topic before anybody has looked at it.
//
// Where it does not return nil, some may still be on their way: the chunk must not be recycled, and is not.
//
// It is the client's own producer that writes: an order in which nothing may follow a failure, which the relay's output needs, is
// not asked for here.
func (h *handling) writeDeadLetters() error {
	refused, err := h.sendLetters(h.passed, h.causes, "")
	if err != nil {
		return err
	}
	for _, i := range refused { // as batches of their own: it may have been the batch that was too large
		if err := h.writeAlone(i); err != nil {
			return err
		}
	}
	return nil
}

// writeAlone writes one letter, and of it what the topic takes.
func (h *handling) writeAlone(i int) error {
	for n, omit := range omissions {
		refused, err := h.sendLetters(h.passed[i:i+1], h.causes[i:i+1], omit)
		switch {
		case err != nil:
			return err
		case len(refused) > 0 && n == len(omissions)-1:
			return h.letterError(kerr.MessageTooLarge)
		case len(refused) > 0:
			continue
		case omit != "":
			h.c.log.Warn("dead letter too large for its topic: written without a part", "topic", h.c.cfg.DeadLetterTopic, "omitted", omit,
				"source", h.c.cfg.Topic, "partition", h.part, "offset", h.passed[i].Offset)
		}
		return nil
	}
	return nil
}

// sendLetters sends the letters of records and waits for the answers. It returns which of them were refused as too large.
func (h *handling) sendLetters(records []*kgo.Record, causes []error, omit string) (refused []int, err error) {
	type answer struct {
		i   int
		err error
	}
	answers := make(chan answer, len(records))
	for i, r := range records {
		h.c.cl.Produce(h.ctx, h.letter(r, causes[i], omit), func(_ *kgo.Record, err error) { answers <- answer{i, err} })
	}
	for range records {
		select {
		case a := <-answers:
			switch {
			case h.ctx.Err() != nil:
				return nil, errKilled
			case tooLarge(a.err):
				refused = append(refused, a.i)
			case a.err != nil:
				return nil, h.letterError(a.err)
			}
		case <-h.ctx.Done():
			return nil, errKilled
		}
	}
	slices.Sort(refused)
	return refused, nil
}

// letter makes the dead letter of a record.
func (h *handling) letter(r *kgo.Record, cause error, omit string) *kgo.Record {
	text := cause.Error()
	letter := &kgo.Record{Topic: h.c.cfg.DeadLetterTopic, Key: r.Key, Value: r.Value}
	if omit != "" {
		letter.Value = []byte{} // not null: that would be a tombstone for the key
	}
	if omit == "" || omit == omissions[1] {
		letter.Headers = slices.Clone(r.Headers)
	}
	if omit == omissions[3] {
		letter.Key = nil
	}
	letter.Headers = append(letter.Headers,
		kgo.RecordHeader{Key: errorHeader, Value: []byte(text[:min(len(text), maxErrorText)])},
		kgo.RecordHeader{Key: attemptsHeader, Value: strconv.AppendInt(nil, int64(h.c.cfg.Retry.Attempts), 10)})
	if omit != "" {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: omittedHeader, Value: []byte(omit)})
	}
	letter.Headers = append(letter.Headers,
		kgo.RecordHeader{Key: sourceHeader, Value: strconv.AppendInt([]byte(sourcePrefix(h.c.cfg.Topic, h.part)), r.Offset, 10)})
	return letter
}

func (h *handling) letterError(cause error) error {
	return &DeadLetterError{Topic: h.c.cfg.Topic, Partition: h.part, First: h.passed[0].Offset, Last: h.passed[len(h.passed)-1].Offset,
		DeadLetterTopic: h.c.cfg.DeadLetterTopic, Err: cause}
}
