package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tailReader reads the end of the output's partitions, with a client of its own: on the relay's client a fetch would
// wait behind the consumer's long polls.
//
// It fetches by hand rather than with a consumer. A consumer shows records, and whether the end is reached must be known
// also where the last offsets are a transaction's marker or a batch that compaction has emptied.
type tailReader struct {
	cl         *kgo.Client
	top        *topology
	decompress kgo.Decompressor
}

const (
	backwardStep    = 512     // offsets of the first step of a backward scan
	backwardGrowth  = 4       // each step is that much longer than the one before
	tailFetchBytes  = 4 << 20 // of one fetch; a larger batch still comes whole
	tailRetryPause  = 50 * time.Millisecond
	tailFetchWaitMS = 500
)

// span is the part of an output partition's log that exists.
type span struct{ start, end int64 }

// spans lists the log of each partition of the output: end is the high watermark, whatever transactions are open.
func (t *tailReader) spans(ctx context.Context) (map[int32]span, error) {
	return listSpans(ctx, t.cl, t.top.topic)
}

func listSpans(ctx context.Context, cl *kgo.Client, topic string) (map[int32]span, error) {
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	var ends kadm.ListedOffsets
	if err == nil {
		ends, err = adm.ListEndOffsets(ctx, topic)
	}
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: offsets of topic %q: %w", topic, err)
	}
	spans := make(map[int32]span)
	for partition, end := range ends[topic] {
		spans[partition] = span{start: starts[topic][partition].Offset, end: end.Offset}
	}
	return spans, nil
}

// settled lists the output's log once it stands still: a request that a killed predecessor had under way can land a
// moment after we first look. It looks again every pause until two looks agree for the partitions given.
//
// The bound: a request that is on its way (in a socket's buffer, or in the broker's queue) for longer than the pause goes
// unseen, and what it adds is produced again. Nothing is lost by it.
func (t *tailReader) settled(ctx context.Context, partitions []int32, pause time.Duration) (map[int32]span, error) {
	spans, err := t.spans(ctx)
	if err != nil || len(partitions) == 0 {
		return spans, err
	}
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		again, err := t.spans(ctx)
		if err != nil {
			return nil, err
		}
		still := true
		for _, p := range partitions {
			still = still && again[p].end == spans[p].end
		}
		if spans = again; still {
			return spans, nil
		}
	}
}

// last returns the largest source offset of that input partition in [from, to) of an output partition; -1: none.
func (t *tailReader) last(ctx context.Context, input string, partition int32, from, to int64) (int64, error) {
	prefix, found := sourcePrefix(input, partition), int64(-1)
	for from < to {
		records, next, err := t.fetch(ctx, partition, from)
		if err != nil {
			return 0, err
		}
		for _, r := range records {
			if r.Offset >= to {
				break
			}
			if offset, ok := sourceOf(prefix, r); ok {
				found = max(found, offset)
			}
		}
		from = next
	}
	return found, nil
}

// sourceOf returns which record of an input partition r is the copy of. Only the last header counts: the relay adds its own
// behind those of the input, and an input that was itself written by a relay, or forged, carries others before it.
func sourceOf(prefix string, r *kgo.Record) (offset int64, ok bool) {
	n := len(r.Headers)
	if n == 0 || r.Headers[n-1].Key != sourceHeader {
		return 0, false
	}
	return parseSource(prefix, r.Headers[n-1].Value)
}

// lastBackward looks for the newest record of that input partition from the end of the log backwards, in growing steps.
// It returns its source offset, -1 if there is none, and where the last step began: a scan from there finds it again.
func (t *tailReader) lastBackward(ctx context.Context, input string, partition int32, log span) (found, low int64, err error) {
	step := int64(backwardStep)
	for to := log.end; to > log.start; step *= backwardGrowth {
		from := max(log.start, to-step)
		found, err = t.last(ctx, input, partition, from, to)
		if err != nil || found >= 0 {
			return found, from, err
		}
		to = from
	}
	return -1, log.end, nil
}

// fetch reads the records from an offset below the end on, and where to go on. It tries again while the cause may pass.
func (t *tailReader) fetch(ctx context.Context, partition int32, from int64) ([]*kgo.Record, int64, error) {
	for {
		leader, id, version := t.top.leader(partition)
		err := error(kerr.LeaderNotAvailable)
		if leader >= 0 {
			var records []*kgo.Record
			var next int64
			if records, next, err = t.fetchOnce(ctx, leader, id, partition, from); err == nil && next > from {
				return records, next, nil
			}
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if err != nil && permanent(err) {
			return nil, 0, fmt.Errorf("kafka: read the tail of %s/%d at %d: %w", t.top.topic, partition, from, err)
		}
		select {
		case <-time.After(tailRetryPause):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		if err := t.top.refresh(ctx, version); err != nil && permanent(err) {
			return nil, 0, err
		}
	}
}

func (t *tailReader) fetchOnce(ctx context.Context, leader int32, id [16]byte, partition int32, from int64) ([]*kgo.Record, int64, error) {
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, from, tailFetchBytes
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = t.top.topic, id
	rt.Partitions = append(rt.Partitions, rp)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = tailFetchWaitMS, 1, tailFetchBytes
	req.Topics = append(req.Topics, rt)
	kresp, err := t.cl.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return nil, 0, err
	}
	resp := kresp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, 0, errNoAnswer
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: from, Topic: t.top.topic, Partition: partition,
	}, &resp.Topics[0].Partitions[0], t.decompress, nil)
	if errors.Is(fetched.Err, kerr.OffsetOutOfRange) {
		// Retention has moved the start past from while we read: go on at the new start.
		spans, err := t.spans(ctx)
		if err != nil {
			return nil, 0, err
		}
		if start := spans[partition].start; start > from {
			return nil, start, nil
		}
	}
	if word := (*kerr.Error)(nil); fetched.Err != nil && !errors.As(fetched.Err, &word) {
		return nil, 0, &TopicError{Topic: t.top.topic, Err: fetched.Err, Hint: "a batch of it cannot be read: compare the broker's disks and replicas"}
	}
	return fetched.Records, next, fetched.Err
}
