package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// span is the part of a partition's log that exists: end is the high watermark, whatever transactions are open.
type span struct{ start, end int64 }

// listed is what one partition's leader says of it.
type listed struct {
	span
	logEnd int64 // where the leader's own log ends, at or above end; equal where the broker does not tell
	err    error
}

var (
	errNoPartition = errors.New("the topic has no such partition")
	errUnsettled   = errors.New("its end still moves, or is not replicated yet")
)

// listSpans asks for the logs of the given partitions, and no others: each leader gets one request for all of its own. It
// goes round the client's sharding, which waits for a partition without a leader and with it for all others. The answer
// holds each partition once, with its own error.
func listSpans(ctx context.Context, cl *kgo.Client, top *topology, parts []int32) map[int32]listed {
	all := make(map[int32]listed, len(parts))
	_, _, version := top.leader(0)
	if err := top.refresh(ctx, version); err != nil {
		for _, part := range parts {
			all[part] = listed{err: err}
		}
		return all
	}
	leads := make(map[int32][]int32)
	for _, part := range parts {
		switch leader, _, _ := top.leader(part); {
		case part >= top.count():
			all[part] = listed{err: errNoPartition}
		case leader < 0:
			all[part] = listed{err: kerr.LeaderNotAvailable}
		default:
			leads[leader] = append(leads[leader], part)
		}
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	for leader, parts := range leads {
		group.Go(func() {
			got := listOne(ctx, cl.Broker(int(leader)), top, parts)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(all, got)
		})
	}
	group.Wait()
	return all
}

// listOne asks one broker for the partitions that it leads. The log's end is asked for last: where it equals the high
// watermark of before, nothing was waiting for replication in between.
func listOne(ctx context.Context, broker *kgo.Broker, top *topology, parts []int32) map[int32]listed {
	got := make(map[int32]listed, len(parts))
	starts, err := listOffsets(ctx, broker, top.topic, parts, -2)
	var ends map[int32]listedOffset
	if err == nil {
		ends, err = listOffsets(ctx, broker, top.topic, parts, -1)
	}
	var logEnds map[int32]listedOffset
	if err == nil {
		logEnds = listLogEnds(ctx, broker, top, parts)
	}
	for _, part := range parts {
		start, okStart := starts[part]
		end, okEnd := ends[part]
		answer := listed{span: span{start: start.offset, end: end.offset}, logEnd: end.offset}
		switch {
		case err != nil:
			answer.err = err
		case !okStart || !okEnd:
			answer.err = errNoAnswer
		case start.err != nil:
			answer.err = start.err
		default:
			answer.err = end.err
		}
		if log, ok := logEnds[part]; ok && log.err == nil {
			answer.logEnd = max(answer.logEnd, log.offset)
		}
		if answer.err != nil {
			answer.err = fmt.Errorf("kafka: offsets of %s/%d: %w", top.topic, part, answer.err)
		}
		got[part] = answer
	}
	return got
}

type listedOffset struct {
	offset int64
	err    error
}

// listOffsets asks a leader for the start (-2) or the high watermark (-1) of partitions.
func listOffsets(ctx context.Context, broker *kgo.Broker, topic string, parts []int32, which int64) (map[int32]listedOffset, error) {
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, part := range parts {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = part, which
		rt.Partitions = append(rt.Partitions, rp)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, rt)
	kresp, err := broker.Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("kafka: offsets of topic %q: %w", topic, err)
	}
	got := make(map[int32]listedOffset, len(parts))
	for _, topic := range kresp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range topic.Partitions {
			got[p.Partition] = listedOffset{p.Offset, kerr.ErrorForCode(p.ErrorCode)}
		}
	}
	return got, nil
}

// listLogEnds asks a leader where its log ends, beyond the high watermark: what it has taken in and not yet replicated. The
// end of the current epoch is that end (KIP-320). Where the broker does not tell (the right is missing, the epoch is not
// known) there is no answer, and the high watermark has to do.
func listLogEnds(ctx context.Context, broker *kgo.Broker, top *topology, parts []int32) map[int32]listedOffset {
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = top.topic
	for _, part := range parts {
		if epoch := top.epoch(part); epoch >= 0 {
			rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = part, epoch, epoch
			rt.Partitions = append(rt.Partitions, rp)
		}
	}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	req.Topics = append(req.Topics, rt)
	kresp, err := broker.Request(ctx, req)
	if err != nil {
		return nil
	}
	got := make(map[int32]listedOffset, len(parts))
	for _, topic := range kresp.(*kmsg.OffsetForLeaderEpochResponse).Topics {
		for _, p := range topic.Partitions {
			got[p.Partition] = listedOffset{p.EndOffset, kerr.ErrorForCode(p.ErrorCode)}
		}
	}
	return got
}

// inputSpans lists the input's partitions, and tries again while the cause of a failure may pass. An error would do worse
// than take time: the client answers it by giving up every partition it has.
func (m *member) inputSpans(ctx context.Context, parts []int32) (map[int32]span, error) {
	spans := make(map[int32]span, len(parts))
	for try := 0; ; try++ {
		var cause error
		for part, answer := range listSpans(ctx, m.cl, m.input, parts) {
			if answer.err == nil {
				spans[part] = answer.span
			}
			cause = worse(cause, answer.err)
		}
		parts = slices.DeleteFunc(parts, func(part int32) bool { _, ok := spans[part]; return ok })
		switch {
		case len(parts) == 0:
			return spans, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case permanent(cause):
			return nil, cause
		}
		m.warnAgain(try, "offsets of the input: trying again", len(parts), cause)
		select {
		case <-time.After(restoreRetryPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// worse returns which of two errors is to be acted on: one that cannot pass, if there is one.
func worse(a, b error) error {
	if a == nil || b != nil && !final(a) && final(b) {
		return b
	}
	return a
}

// final says whether the member has to stop with err.
func final(err error) bool {
	var group *GroupError
	var fenced *FencedError
	var source *SourceError
	return permanent(err) || errors.As(err, &group) || errors.As(err, &fenced) || errors.As(err, &source)
}

// warnAgain logs a passing failure, but not each of many.
func (m *member) warnAgain(try int, what string, partitions int, cause error) {
	if try%25 == 0 {
		m.log.Warn(what, "topic", m.cfg.Input, "partitions", partitions, "tries", try+1, "cause", cause)
	}
}
