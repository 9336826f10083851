package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"time"
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

// watch looks at the input now and then. Two things change a topic under its readers without an error that says so: it is
// deleted and made again, and then offsets mean other records; or partitions are added, and then keys go to others than
// before, where nobody knows them.
func (m *member) watch(stop context.Context) {
	tick := time.NewTicker(m.watchEvery)
	defer tick.Stop()
	for known := int32(0); ; {
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
