package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"noecho/engine"
)

// watchEvery is the time between two looks at the input's metadata.
const watchEvery = 30 * time.Second

// topicID is what tells a topic from another of the same name.
type topicID [16]byte

// String encodes the id as Kafka's tools show it.
func (id topicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// parseTopicID decodes what String made.
func parseTopicID(s string) (id topicID, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return topicID{}, false
	}
	return topicID(raw), true
}

// recreated says what to do about an input that is another one.
func recreated(topic string) error {
	return &TopicError{Topic: topic, Err: ErrRecreated,
		Hint: "the offsets and marks that are known are of the old one: reset the group's offsets with the usual tool, and start with an empty data directory"}
}

// identify compares the id of the topic that the store's offsets are of with the input's, and has the store take on an id that it
// does not know yet. The group's offsets carry the id, too, but a broker may drop those together with the topic: then
// the store alone knows where the old topic ended, and a start would take that for a place in the new one. So it comes
// before the first question to the store, and before the first commit.
//
// In bypass the store is left alone, but what it knows is looked at: a start goes by its offset also then. Called by begin, by
// run before the store is asked, and by a standby.
func (m *member) identify(part int32, state partition) error {
	if m.input.differs(topicID(state.LogID())) {
		return recreated(m.cfg.Input)
	}
	id := m.input.topicID()
	if id == (topicID{}) || m.bypass.Load() {
		return nil
	}
	if err := state.SetLogID(engine.LogID(id)); err != nil && !m.bypass.Load() {
		return fmt.Errorf("kafka: %s/%d: the topic's id in the store: %w", m.cfg.Input, part, err)
	}
	return nil
}

// partitionsBefore returns how many partitions of the input the group knew when it was last at work; 0: that cannot be said. It
// commits an offset for each partition that it gets, also where there is no record yet. So those that have none at the end of the topic
// came later; one in between was never claimed, because a first start was cut short.
func (m *member) partitionsBefore(ctx context.Context) (n int32) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	offsets, err := kadm.NewClient(m.cl).FetchOffsets(ctx, m.cfg.Group)
	if err != nil {
		return 0 // a group that is new, or nobody answers: then others say so
	}
	known := 0
	for _, o := range offsets[m.cfg.Input] {
		if o.Err == nil && o.At >= 0 {
			known++
		}
	}
	for o, ok := offsets.Lookup(m.cfg.Input, n); ok && o.At >= 0; o, ok = offsets.Lookup(m.cfg.Input, n) {
		n++
	}
	if int(n) != known {
		return 0
	}
	return n
}

// watch looks at the input now and then. Two things change a topic under its readers without an error that says so: it is
// deleted and made again, and then offsets mean other records; or partitions are added, and then keys go to others than
// before, where nobody knows them.
func (m *member) watch(stop context.Context) {
	tick := time.NewTicker(m.watchEvery)
	defer tick.Stop()
	known := m.partitionsBefore(stop)
	close(m.counted)
	for {
		_, _, version := m.input.leader(0)
		if err := m.input.refresh(stop, version); err != nil && stop.Err() == nil {
			if topic := (*TopicError)(nil); errors.As(err, &topic) {
				m.fail(topic)
				return
			}
			m.log.Warn("metadata of the input", "topic", m.cfg.Input, "cause", err)
		}
		if now := m.input.count(); known > 0 && now > known {
			m.missing.added.Add(uint64(now - known))
			m.log.Warn("partitions were added to the input: keys may have moved to others, and copies of records from before the change are not found there for a window",
				"topic", m.cfg.Input, "before", known, "now", now)
			m.cl.ForceMetadataRefresh() // the client looks every few minutes by itself
			known = now
		} else if known == 0 {
			known = now
		}
		select {
		case <-tick.C:
		case <-stop.Done():
			return
		}
	}
}
