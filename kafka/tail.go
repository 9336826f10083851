package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tailReader reads stretches of a topic's partitions: the end of the output's, and of the input what a store is missing. It does so with a client of its own: on the relay's client a fetch would
// wait behind the consumer's long polls.
//
// It fetches by hand rather than with a consumer. A consumer shows records, and whether the end is reached must be known
// also where the last offsets are a transaction's marker or a batch that compaction has emptied.
type tailReader struct {
	cl         *kgo.Client
	top        *topology
	decompress kgo.Decompressor
	committed  bool // leave out what is aborted, and do not read beyond open transactions
}

const (
	backwardStep    = 512     // offsets of the first step of a backward scan
	backwardGrowth  = 4       // each step is that much longer than the one before
	tailFetchBytes  = 4 << 20 // of one fetch; a larger batch still comes whole
	tailRetryPause  = 50 * time.Millisecond
	tailFetchWaitMS = 100
	tailTries       = 8 // without progress, each at most a fetch's wait and a pause
)

// settled lists the output's logs as they stand still. Where a predecessor may have had a request under way when it was
// killed (unsettled says so), one look is not enough: the request can land a moment later. Such a partition is looked at twice,
// with a pause between, and is errUnsettled when the two differ or when its leader holds records that are not replicated: those
// are not visible yet, and will be.
//
// Where somebody else writes to the output all the time, two looks never agree. With moving it is enough that what the
// leader held at the first look is visible at the second.
//
// The bound: a request that is on its way (in a socket's buffer, or in the broker's queue, before the leader has appended
// it) for longer than the pause goes unseen, and what it adds is produced again. Nothing is lost by it.
func (t *tailReader) settled(ctx context.Context, all, unsettled []int32, pause time.Duration, moving bool) map[int32]listed {
	spans := listSpans(ctx, t.cl, t.top, all)
	if len(unsettled) == 0 {
		return spans
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done(): // and so will the second look be
	}
	for part, again := range listSpans(ctx, t.cl, t.top, unsettled) {
		first := spans[part]
		still := again.end == first.end && again.logEnd == again.end || moving && again.end >= first.logEnd
		if again.err == nil && (first.err != nil || !still) {
			again.err = fmt.Errorf("kafka: the tail of %s/%d: %w", t.top.topic, part, errUnsettled)
		}
		spans[part] = again
	}
	return spans
}

// last returns the largest source offset of that input partition in [from, to) of an output partition; -1: none.
func (t *tailReader) last(ctx context.Context, input string, partition int32, from, to int64) (int64, error) {
	prefix, found := sourcePrefix(input, partition), int64(-1)
	err := t.each(ctx, partition, from, to, func(r *kgo.Record) {
		if offset, ok := sourceOf(prefix, r); ok {
			found = max(found, offset)
		}
	})
	if err != nil {
		return 0, err
	}
	return found, nil
}

// each calls fn with the records of a partition in [from, to).
func (t *tailReader) each(ctx context.Context, partition int32, from, to int64, fn func(*kgo.Record)) error {
	for from < to {
		records, next, err := t.fetch(ctx, partition, from)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Offset >= to {
				break
			}
			fn(r)
		}
		from = next
	}
	return nil
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

// fetch reads the records from an offset below the end on, and where to go on. It tries again while the cause may pass, but
// not for ever: the high watermark may have fallen below the end that was listed (an unclean election), or the leader be
// gone for long. Then the restore has to look again, and other partitions want their turn.
func (t *tailReader) fetch(ctx context.Context, partition int32, from int64) ([]*kgo.Record, int64, error) {
	err := error(nil)
	for range tailTries {
		leader, id, version := t.top.leader(partition)
		if err = kerr.LeaderNotAvailable; leader >= 0 {
			var records []*kgo.Record
			var next int64
			if records, next, err = t.fetchOnce(ctx, leader, id, partition, from); err == nil && next > from {
				return records, next, nil
			}
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if err == nil {
			err = errTailMoved
		}
		if permanent(err) {
			break
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
	return nil, 0, fmt.Errorf("kafka: read the tail of %s/%d at %d: %w", t.top.topic, partition, from, err)
}

// errTailMoved: there is nothing where the list of offsets said there is.
var errTailMoved = errors.New("the log ends before the end that was listed")

func (t *tailReader) fetchOnce(ctx context.Context, leader int32, id [16]byte, partition int32, from int64) ([]*kgo.Record, int64, error) {
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, from, tailFetchBytes
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = t.top.topic, id
	rt.Partitions = append(rt.Partitions, rp)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = tailFetchWaitMS, 1, tailFetchBytes
	req.Topics = append(req.Topics, rt)
	isolation := kgo.ReadUncommitted()
	if t.committed {
		req.IsolationLevel, isolation = 1, kgo.ReadCommitted()
	}
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
		Offset: from, Topic: t.top.topic, Partition: partition, IsolationLevel: isolation,
	}, &resp.Topics[0].Partitions[0], t.decompress, nil)
	if errors.Is(fetched.Err, kerr.OffsetOutOfRange) {
		// Retention has moved the start past from while we read: go on at the new start. Or the log has become shorter.
		log := listSpans(ctx, t.cl, t.top, []int32{partition})[partition]
		switch {
		case log.err != nil:
			return nil, 0, log.err
		case log.start > from:
			return nil, log.start, nil
		}
		return nil, 0, errTailMoved
	}
	if word := (*kerr.Error)(nil); fetched.Err != nil && !errors.As(fetched.Err, &word) {
		return nil, 0, &TopicError{Topic: t.top.topic, Err: fetched.Err, Hint: "a batch of it cannot be read: compare the broker's disks and replicas"}
	}
	return fetched.Records, next, fetched.Err
}
