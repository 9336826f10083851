package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// A record that is given up (skipped, or written to the dead-letter topic) gives up its key: its effect did not happen, so
// the next copy must get its chance, and a record that somebody sends again from the dead-letter topic too.
//
// The naive way is to have the engine forget the key at once. That fails twice. Copies in the same chunk were decided
// before their original failed: they are dropped and never seen again. And while records are delivered again (after a crash, in
// a rewind), those ahead were taken in before, and deciding them stores nothing: without a mark every copy ahead would pass,
// not one. That is why forgetting is an act at the head of the partition only.
//
// So the key becomes an orphan. The first copy behind the record is its heir: it passes, as if redelivered, in another call of
// the handler where it lies in the same chunk. If it is handled, the old mark stays and speaks for it: later copies are dropped.
// If it fails, the key is orphaned again. Where no heir has come up to the head of the partition, the engine forgets the key.
// Until then the position stays at the record, so that a crash repeats the whole story, and not half of it.

// maxOrphans bounds the orphans in memory. It takes a long rewind over very many records that fail to get there; then
// the keys are forgotten before the head is reached, and several copies of one record ahead may pass.
const maxOrphans = 1 << 16

// adopts says whether a record is the heir of its key, and ends the key's orphanhood.
func (h *handling) adopts(key []byte, offset int64) bool {
	from, ok := h.orphan[string(key)]
	if !ok || offset <= from {
		return false
	}
	delete(h.orphan, string(key))
	return true
}

// giveUp orphans the keys of the records that passed and failed for good, after they were written to the dead-letter
// topic where that is wanted.
func (h *handling) giveUp(chunk []*kgo.Record) error {
	first, last := h.passed[0].Offset, h.passed[len(h.passed)-1].Offset
	if h.c.cfg.OnError == OnErrorDeadLetter {
		if err := h.writeDeadLetters(); err != nil {
			return err
		}
	}
	h.c.log.Warn("records given up: the handler failed", "topic", h.c.cfg.Topic, "partition", h.part, "first", first, "last", last,
		"records", len(h.passed), "on_error", string(h.c.cfg.OnError), "cause", h.causes[0])
	if h.orphan == nil {
		h.orphan = make(map[string]int64)
	}
	h.count.givenUp(len(h.passed), h.c.cfg.OnError)
	h.mu.Lock()
	if h.held < 0 {
		h.held = first
	}
	h.mu.Unlock()
	failed := h.passed
	h.eachKeyed(chunk, func(r *kgo.Record, key []byte, _ engine.Kind) {
		for len(failed) > 0 && failed[0].Offset < r.Offset {
			failed = failed[1:] // without a key: there is nothing to give up
		}
		if len(failed) > 0 && failed[0].Offset == r.Offset {
			h.orphan[string(key)] = r.Offset
		}
	})
	return nil
}

// inherit gathers in passed the heirs that lie in the chunk.
func (h *handling) inherit(chunk []*kgo.Record) {
	h.passed, h.again = h.passed[:0], h.again[:0]
	h.eachKeyed(chunk, func(r *kgo.Record, key []byte, kind engine.Kind) {
		// A later record with that key that was no copy (the window is short) has been handled in its own right.
		if h.adopts(key, r.Offset) && kind == engine.Duplicate {
			h.passed, h.again = append(h.passed, r), append(h.again, true)
		}
	})
	h.count.inherited(len(h.passed))
}

// eachKeyed calls f for the chunk's records that have a key.
func (h *handling) eachKeyed(chunk []*kgo.Record, f func(r *kgo.Record, key []byte, kind engine.Kind)) {
	v := 0
	for i, r := range chunk {
		if h.keyed[i] {
			f(r, h.recs[v].Key, h.verdicts[v].Kind)
			v++
		}
	}
}

// settle has the engine forget the keys that are still orphaned, durably, when next is the head of the partition.
func (h *handling) settle(next int64) error {
	if len(h.orphan) == 0 {
		return nil
	}
	if _, head := h.state.Coverage(); next < head && len(h.orphan) < maxOrphans {
		return nil
	}
	if h.ctx.Err() != nil {
		return errKilled // the engine is not told what is not committed
	}
	for key := range h.orphan {
		if err := h.state.Forget([]byte(key)); err != nil {
			return fmt.Errorf("kafka: %s/%d: forget a key: %w", h.c.cfg.Topic, h.part, err)
		}
		if h.changes != nil {
			h.changes.forget(h.m.store.Hash([]byte(key)), next)
		}
	}
	clear(h.orphan)
	// Durable before the position moves on, and in one frame with it: the commit loop might leave this one out (it says nothing
	// to the engine while the group is behind what the engine has committed), and a crash between the two would deliver
	// records again whose keys are forgotten.
	if err := h.commitForgotten(next); err != nil {
		if h.ctx.Err() != nil {
			return errKilled
		}
		return fmt.Errorf("kafka: %s/%d: commit of forgotten keys: %w", h.c.cfg.Topic, h.part, err)
	}
	return nil
}

// commitForgotten commits, after the changelog was told: it is waited for, as every commit does.
func (h *handling) commitForgotten(next int64) error {
	for try := 0; ; try++ {
		h.m.commitMu.Lock() // one commit of a partition at a time, as everywhere
		err := h.tellChanges(h.ctx, next)
		if err == nil {
			err = h.state.Commit(h.ctx, next)
		}
		h.m.commitMu.Unlock()
		if !errors.Is(err, errChangelog) {
			return err
		}
		h.m.warnAgain(try, "the changelog is not told of forgotten keys: trying again", 1, err)
		select {
		case <-time.After(restoreRetryPause):
		case <-h.ctx.Done():
			return h.ctx.Err()
		}
	}
}
