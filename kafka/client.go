package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// heartbeatInterval is the time between two heartbeats of ProtocolClassic, the client's and the lease's.
func (m *member) heartbeatInterval() time.Duration { return min(3*time.Second, m.cfg.SessionTimeout/4) }

// options of the member's client: the caller's first, so that ours win.
func (m *member) options() []kgo.Opt {
	// NewClient starts the group's goroutines, which may call back before Run has the client in its hands.
	connected := m.connected
	type parts = map[string][]int32
	gate := func(fn func(context.Context, *kgo.Client, parts)) func(context.Context, *kgo.Client, parts) {
		return func(ctx context.Context, cl *kgo.Client, p parts) {
			<-connected
			if len(p) > 0 {
				fn(ctx, cl, p)
			}
		}
	}
	opts := append(append([]kgo.Opt(nil), m.cfg.Client...),
		kgo.WithHooks(m.cfg.Hooks...),
		kgo.ConsumerGroup(m.cfg.Group),
		kgo.ConsumeTopics(m.cfg.Input),
		kgo.InstanceID(m.cfg.InstanceID),
		kgo.RebalanceTimeout(m.cfg.RebalanceTimeout),
		kgo.DisableAutoCommit(),
		// A revocation waits until what was polled is in the queues, where drain sees it.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(gate(m.assigned)),
		kgo.OnPartitionsRevoked(gate(m.revoked)),
		kgo.OnPartitionsLost(gate(m.lost)),
		kgo.OnOffsetsFetched(func(ctx context.Context, cl *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
			<-connected
			return m.fetched(ctx, cl, resp)
		}),
		kgo.AdjustFetchOffsetsFn(m.adjust),
		// An aborted record must never own a key. Control records are kept because they move the position.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// Where to go on after a loss is not the client's to guess: it would deliver a minute again, or skip.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxPartitionBytes(m.cfg.FetchPartitionBytes),
		kgo.FetchMaxBytes(max(32<<20, m.cfg.FetchPartitionBytes)),
		// A partition that is resumed, or new, joins the broker's next fetch: that should not be far off when all is quiet.
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.MaxDecompressBatchBytes(int(m.cfg.DecompressBytes)),
		kgo.RequiredAcks(kgo.AllISRAcks()), // also of the produce requests that we make ourselves
	)
	opts = append(opts, m.protocolOptions()...)
	if m.cfg.Transactional {
		opts = append(opts, transactionOptions()...)
	}
	if m.pool != nil {
		opts = append(opts, kgo.WithPools(m.pool))
	}
	return opts
}

// protocolOptions are those that say how partitions are assigned.
func (m *member) protocolOptions() []kgo.Opt {
	if m.cfg.GroupProtocol == ProtocolConsumer {
		// Of the client's own balancers that are named, the first says which of the coordinator's assigns: uniform, which is sticky. With any other
		// balancer (ours are) the client would use the classic protocol.
		return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.WithHooks(m.heartbeats)}
	}
	return []kgo.Opt{
		// Cooperative: a partition that stays is not stopped for one that goes. Warm, or else sticky: state is where it was.
		kgo.Balancers(m.balancers()...),
		kgo.SessionTimeout(m.cfg.SessionTimeout),
		kgo.HeartbeatInterval(m.heartbeatInterval()),
	}
}
