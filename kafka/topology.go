package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topology knows where the partitions of one topic live. Safe for concurrent use.
type topology struct {
	cl     *kgo.Client
	topic  string
	source bool // it is the input: what the store and the group know is of it

	refreshing sync.Mutex // one metadata request at a time; taken before mu

	mu struct {
		sync.Mutex
		loaded  bool
		id      [16]byte
		leaders []int32 // by partition; -1: none now
		epochs  []int32 // of the leaders; -1: not known
		version uint64  // of leaders: bumped by every load
	}
}

// leader returns where the partition was led when last asked; -1 where it was not known.
func (t *topology) leader(partition int32) (leader int32, id [16]byte, version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(partition) >= len(t.mu.leaders) {
		return -1, t.mu.id, t.mu.version
	}
	return t.mu.leaders[partition], t.mu.id, t.mu.version
}

// count returns how many partitions the topic had when last asked.
func (t *topology) count() int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int32(len(t.mu.leaders))
}

// topicID returns the topic's id as of when it was last asked for; zero: not known.
func (t *topology) topicID() topicID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.id
}

// differs says whether the topic is known to be another one than that which had id.
func (t *topology) differs(id topicID) bool {
	now := t.topicID()
	return id != (topicID{}) && now != (topicID{}) && now != id
}

// epoch returns the epoch of the partition's leader; -1 where it is not known.
func (t *topology) epoch(partition int32) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(partition) >= len(t.mu.epochs) {
		return -1
	}
	return t.mu.epochs[partition]
}

// refresh asks the brokers, unless somebody did since the caller saw version. Many partitions lose one leader together:
// one request answers them all.
func (t *topology) refresh(ctx context.Context, version uint64) error {
	t.refreshing.Lock()
	defer t.refreshing.Unlock()
	if _, _, now := t.leader(0); now != version {
		return nil
	}
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(t.topic)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, t.cl)
	if err != nil {
		return fmt.Errorf("kafka: metadata of topic %q: %w", t.topic, err)
	}
	for i := range resp.Topics {
		if got := &resp.Topics[i]; got.Topic != nil && *got.Topic == t.topic {
			return t.take(got)
		}
	}
	return fmt.Errorf("kafka: metadata of topic %q: %w", t.topic, kerr.UnknownTopicOrPartition)
}

func (t *topology) take(got *kmsg.MetadataResponseTopic) error {
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return fmt.Errorf("kafka: metadata of topic %q: %w", t.topic, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.loaded && t.mu.id != got.TopicID {
		// Offsets of the old topic mean nothing in the new one, and the commit metadata names some.
		if t.source {
			return recreated(t.topic)
		}
		return &TopicError{Topic: t.topic, Err: ErrRecreated, Hint: "restart: what the new topic holds is found out then"}
	}
	t.mu.loaded, t.mu.id = true, got.TopicID
	for i := range t.mu.leaders {
		t.mu.leaders[i], t.mu.epochs[i] = -1, -1
	}
	for i := range got.Partitions {
		p := &got.Partitions[i]
		for int(p.Partition) >= len(t.mu.leaders) {
			t.mu.leaders, t.mu.epochs = append(t.mu.leaders, -1), append(t.mu.epochs, -1)
		}
		t.mu.epochs[p.Partition] = p.LeaderEpoch
		t.mu.leaders[p.Partition] = p.Leader // -1 with LEADER_NOT_AVAILABLE; a mere REPLICA_NOT_AVAILABLE has one
	}
	t.mu.version++
	return nil
}

// permanent says whether trying again cannot help: a broker said so, and its word is not one of the passing kind.
// Everything that is not a broker's word (connections, timeouts, a broker that is unknown for now) passes.
func permanent(err error) bool {
	if topic := (*TopicError)(nil); errors.As(err, &topic) {
		return true
	}
	word := (*kerr.Error)(nil)
	return errors.As(err, &word) && !word.Retriable
}
