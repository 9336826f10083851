package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// options of the relay's client: the caller's first, so that ours win.
func (r *Relay) options() []kgo.Opt {
	// NewClient starts the group's goroutines, which may call back before Run has the client in its hands.
	connected := r.connected
	type parts = map[string][]int32
	gate := func(fn func(context.Context, *kgo.Client, parts)) func(context.Context, *kgo.Client, parts) {
		return func(ctx context.Context, cl *kgo.Client, p parts) {
			<-connected
			if len(p) > 0 {
				fn(ctx, cl, p)
			}
		}
	}
	return append(append([]kgo.Opt(nil), r.cfg.Client...),
		kgo.WithHooks(r.cfg.Hooks...),
		kgo.ConsumerGroup(r.cfg.Group),
		kgo.ConsumeTopics(r.cfg.Input),
		kgo.InstanceID(r.cfg.InstanceID),
		// Cooperative: a partition that stays is not stopped for one that goes. Sticky: state is where it was.
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(r.cfg.SessionTimeout),
		kgo.RebalanceTimeout(r.cfg.RebalanceTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.cfg.SessionTimeout/4)),
		kgo.DisableAutoCommit(),
		// A revocation waits until what was polled is in the workers' queues, where drain sees it.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(gate(r.assigned)),
		kgo.OnPartitionsRevoked(gate(r.revoked)),
		kgo.OnPartitionsLost(gate(r.lost)),
		kgo.OnOffsetsFetched(func(ctx context.Context, cl *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
			<-connected
			return r.fetched(ctx, cl, resp)
		}),
		kgo.AdjustFetchOffsetsFn(r.adjust),
		// An aborted record must never own a key. Control records are kept because they move the position.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// Where to go on after a loss is not the client's to guess: it would deliver a minute again, or skip.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxPartitionBytes(r.cfg.FetchPartitionBytes),
		kgo.FetchMaxBytes(max(32<<20, r.cfg.FetchPartitionBytes)),
		// A partition that is resumed, or new, joins the broker's next fetch: that should not be far off when all is quiet.
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.WithPools(r.pool),
		kgo.MaxDecompressBatchBytes(int(r.cfg.DecompressBytes)),
		kgo.RequiredAcks(kgo.AllISRAcks()), // also of the produce requests that we make ourselves
	)
}
