package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// checker asks the engine about chunks of one partition, in memory of its own. One goroutine owns it.
type checker struct {
	arena    []byte           // keys that do not lie in the record as they are
	keyed    []bool           // which records of the chunk have a key
	recs     []engine.Record  // those that have
	verdicts []engine.Verdict // on recs
	marks    []engine.Mark    // of the last question, for changes
	changes  *changes         // what the changelog is to be told; nil: there is none
}

// check extracts the keys of a chunk and asks for the verdicts, one for each record that has a key. What it leaves in keyed, recs
// and verdicts is valid until the next call, and the keys as long as the records.
func (c *checker) check(key *KeyExtractor, missing MissingKey, state partition, chunk []*kgo.Record) error {
	if err := c.extract(key, missing, chunk); err != nil {
		return err
	}
	if err := c.ask(state); err != nil {
		return fmt.Errorf("kafka: %s/%d: check: %w", chunk[0].Topic, chunk[0].Partition, err)
	}
	return nil
}

// extract takes the keys out of a chunk.
func (c *checker) extract(key *KeyExtractor, missing MissingKey, chunk []*kgo.Record) error {
	c.arena, c.keyed, c.recs = c.arena[:0], c.keyed[:0], c.recs[:0]
	for _, r := range chunk {
		ok := false
		if !r.Attrs.IsControl() {
			var id []byte
			if id, c.arena, ok = key.borrow(c.arena, r); ok {
				c.recs = append(c.recs, engine.Record{Key: id, Offset: r.Offset, Timestamp: timestamp(r)})
			} else if missing == MissingFail {
				return &MissingKeyError{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: key.String()}
			}
		}
		c.keyed = append(c.keyed, ok)
	}
	return nil
}

// ask asks for the verdicts on what was extracted.
func (c *checker) ask(state partition) (err error) {
	if c.changes == nil {
		c.verdicts, err = state.Check(c.recs, c.verdicts[:0])
		return err
	}
	c.verdicts, c.marks, err = state.CheckMarks(c.recs, c.verdicts[:0], c.marks[:0])
	c.changes.add(c.marks)
	return err
}
