package relays

import (
	"context"
	"errors"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BareRole is the word with which this executable is started as a bare relay.
const BareRole = "bare-relay"

// Filter takes the records of one partition, in order, and returns those that pass. It may use their memory.
type Filter func(partition int32, records []*kgo.Record) ([]*kgo.Record, error)

// Bare is what a careful user of franz-go writes to copy a topic: args are brokers, input, output and group. It hands the fetched record itself to
// the producer, so that it allocates nothing of its own. Once a second it flushes and commits; what it has produced but not committed is produced
// again after a crash. A filter makes it a relay that drops something.
func Bare(args []string, filter Filter, opts ...kgo.Opt) error {
	brokers, input, output, group := args[0], args[1], args[2], args[3]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.InstanceID(group), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.MaxBufferedRecords(100_000),
	}, opts...)...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	var failed atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	commit := func() error {
		if err := cl.Flush(context.Background()); err != nil {
			return err
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		return cl.CommitUncommittedOffsets(context.Background())
	}
	for last := time.Now(); ctx.Err() == nil; {
		fetches := cl.PollRecords(ctx, 50_000)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		var refused error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			records := p.Records
			if filter != nil && len(records) > 0 && refused == nil {
				records, refused = filter(p.Partition, records)
			}
			for _, r := range records {
				r.Topic = output
				cl.Produce(context.Background(), r, promise)
			}
		})
		if refused != nil {
			return refused
		}
		if time.Since(last) >= time.Second {
			if err := commit(); err != nil {
				return err
			}
			last = time.Now()
		}
		cl.AllowRebalance()
	}
	return commit()
}
