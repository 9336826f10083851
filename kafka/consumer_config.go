package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// Handler does a consumer's work on a batch. It is called by one goroutine at a time for each partition, and by many for
// different partitions.
//
// nil says that all of the batch is done, for good: its offsets are committed some time after. An error says that nothing of
// it is, or, where it is (or wraps) a *RecordErrors, that the records named there are not, and all others are. What is not
// done is tried again, and then ConsumerConfig.OnError decides.
//
// ctx carries the values of Run's context. It ends when what the handler does can no longer be committed: the partition
// was lost, or has to be given back and half of the rebalance timeout is over, or the consumer has failed. It does not end
// with Run's context: a stop waits for the handler.
type Handler func(ctx context.Context, b Batch) error

// OnError says what becomes of records that the handler could not handle in all its tries.
type OnError string

const (
	// OnErrorStop ends Run with a *HandlerError. Nothing of the batch is committed: the next start tries again.
	OnErrorStop OnError = "stop"
	// OnErrorSkip gives the records up, and their keys with them: the next copy of such a record passes.
	OnErrorSkip OnError = "skip"
	// OnErrorDeadLetter writes the records to DeadLetterTopic first, and then gives them and their keys up.
	OnErrorDeadLetter OnError = "dead-letter"
)

// Retry says how often and when a handler is called again after an error. Zero values mean the defaults.
type Retry struct {
	// Attempts is how often the handler is called for a batch, the first time included; default 5, 1 for no retry, negative
	// for no limit: then OnError has no effect, and an outage of what the handler needs is waited out.
	Attempts int
	// MinBackoff, default 100 ms, is the pause before the second call; each next one is twice as long, up to MaxBackoff, default 10 s.
	// A random half of each is left out, so that partitions that failed together do not come back together.
	MinBackoff, MaxBackoff time.Duration
}

// ConsumerConfig configures a Consumer. Engine, Topic, Group and Handler must be set; other zero values mean the defaults
// named with the fields.
type ConsumerConfig struct {
	// Engine holds the state. The consumer claims the partitions that it is assigned and closes their handles; the caller
	// closes the engine, after Run has returned. Consumers of different topics may share it.
	Engine *engine.Engine
	// Client options: seed brokers, TLS, SASL, logger, partitioner of the dead-letter topic. They go first, so that the
	// consumer's own win: group, topic, isolation, offsets and callbacks are not the caller's to set.
	Client []kgo.Opt
	// Hooks of the consumer's own client, for metrics. Hooks that register themselves somewhere belong here, not in Client:
	// Preflight makes a client too.
	Hooks []kgo.Hook

	// Topic to read, one. What names a message, and what to do without it, differs from topic to topic: make a Consumer for
	// each, in a group of its own.
	Topic string
	Group string
	// InstanceID is the static membership's id; default "noecho-" and the engine's id. With it a process that was killed
	// gets its partitions back at once, where a dynamic member's would wait for the session to expire. Consumers that share an
	// engine and a group need different ones.
	InstanceID string
	// GroupProtocol, default classic, says who assigns the partitions. With ProtocolConsumer the coordinator does, which knows nothing of the members' state; the
	// session timeout is its own; and a process that was killed gets its partitions back when its session is over, not at once.
	GroupProtocol GroupProtocol

	Key          *KeyExtractor // default: payload
	OnMissingKey MissingKey    // default: pass
	Scope        Scope         // default: partition
	StartAt      StartAt       // default: earliest
	Learn        Learn         // default: handled
	LearnFrom    LearnFrom     // default: window
	// WhileRestoring, default block, says whether records wait for that or pass without a verdict meanwhile.
	WhileRestoring WhileRestoring
	// ChangelogTopic, if set, takes what each commit took in, packed: hashes and offsets. A store that is missing some of it (a lost
	// disk, another member) restores from there, and not from the input. It needs as many partitions as the input has, and the
	// members' engines the same Seed. No offset is committed before it has the marks.
	ChangelogTopic string
	// Standby has this member follow the changelog of the partitions that it does not own, so that it can take them over with next to
	// nothing to restore. Their marks take as much memory and disk here as at their owner.
	Standby bool

	Handler Handler
	// BatchRecords, default 1024, and BatchBytes of keys and values, default 1 MiB, bound what is checked together. A batch
	// is what passed of that, and never waited for to fill.
	BatchRecords, BatchBytes int
	// Concurrency bounds the handler calls that run at a time; default 0: one for each assigned partition. Pauses between two
	// tries do not count.
	Concurrency int
	// Recycle takes the memory of records back once the handler has returned, which saves some 400 bytes of garbage a record: then
	// nothing of a record, its key or value may be kept beyond the call. Default: what was handed over is the handler's to keep.
	Recycle bool

	Retry   Retry
	OnError OnError // default: stop
	// DeadLetterTopic is where dead letters go, with OnErrorDeadLetter. It must exist.
	DeadLetterTopic string

	// CommitInterval is the time between commits, 1 ms or more; default 1 s. After a crash the work of one interval may be
	// done again.
	CommitInterval time.Duration
	// SessionTimeout, default 45 s, and RebalanceTimeout, default 60 s, are the group's. A handler may take longer than both; but
	// a partition that must go while it does has half of the latter to finish, then the context ends. With ProtocolConsumer the former
	// is the brokers' to say (consumer.session.timeout.ms of the group, else group.consumer.session.timeout.ms), and must be 0 here.
	SessionTimeout, RebalanceTimeout time.Duration

	// QueueBytes bounds the memory of the records waiting in a partition's queue, keys, values and headers and 256 bytes for
	// each record; default 64 MiB. At half of it, or 4 MiB, the consumer polls no more while all partitions have work; at the
	// bound the partition's fetching is paused. One poll may overshoot it.
	QueueBytes int64
	// TotalQueueBytes bounds the queues together; default 512 MiB. With many partitions each one's share is smaller.
	TotalQueueBytes int64
	// FetchPartitionBytes bounds what one fetch brings of a partition; default 1 MiB.
	FetchPartitionBytes int32
	// DecompressBytes bounds a batch of the topic after decompression; default 128 MiB. A larger one stops the consumer.
	DecompressBytes int64

	Logger *slog.Logger // default: discard
}

func (c *ConsumerConfig) ensureDefaults() {
	def(&c.BatchRecords, chunkRecords)
	def(&c.BatchBytes, 1<<20)
	def(&c.OnError, OnErrorStop)
	def(&c.Retry.Attempts, 5)
	def(&c.Retry.MinBackoff, 100*time.Millisecond)
	def(&c.Retry.MaxBackoff, max(10*time.Second, c.Retry.MinBackoff))
}

// member returns the part of it that the group's half needs.
func (c *ConsumerConfig) member() memberConfig {
	return memberConfig{
		Client: c.Client, Hooks: c.Hooks, Input: c.Topic, Group: c.Group, InstanceID: c.InstanceID, GroupProtocol: c.GroupProtocol,
		Key: c.Key, OnMissingKey: c.OnMissingKey, Scope: c.Scope, StartAt: c.StartAt, Learn: c.Learn, LearnFrom: c.LearnFrom, WhileRestoring: c.WhileRestoring,
		ChangelogTopic: c.ChangelogTopic, Standby: c.Standby,
		CommitInterval: c.CommitInterval, SessionTimeout: c.SessionTimeout, RebalanceTimeout: c.RebalanceTimeout,
		QueueBytes: c.QueueBytes, TotalQueueBytes: c.TotalQueueBytes,
		FetchPartitionBytes: c.FetchPartitionBytes, DecompressBytes: c.DecompressBytes,
		ChunkRecords: c.BatchRecords, ChunkBytes: c.BatchBytes, Logger: c.Logger,
	}
}

// validate collects every violation.
func (c *ConsumerConfig) validate(m *memberConfig) error {
	var problems []string
	if c.Topic == "" {
		problems = append(problems, "topic is missing")
	}
	if c.Handler == nil {
		problems = append(problems, "handler is missing")
	}
	switch c.OnError {
	case OnErrorStop, OnErrorSkip:
	case OnErrorDeadLetter:
		if c.DeadLetterTopic == "" {
			problems = append(problems, "dead_letter_topic is missing")
		} else if c.DeadLetterTopic == c.Topic {
			problems = append(problems, "dead_letter_topic is the topic that is read")
		}
	default:
		problems = append(problems, fmt.Sprintf("on_error %q is none of stop, skip, dead-letter", string(c.OnError)))
	}
	if m.WhileRestoring == RestoringPass && c.OnError != OnErrorStop {
		problems = append(problems, "while_restoring pass takes on_error stop: a key that is given up is taken out of the store, which does not know it yet")
	}
	problems = append(problems, m.problems()...)
	problems = append(problems, changelogProblems(c.ChangelogTopic, c.Topic, c.DeadLetterTopic)...)
	problems = append(problems, tooSmall([]least{
		{"batch_records", int64(c.BatchRecords), 1},
		{"batch_bytes", int64(c.BatchBytes), 1},
		{"concurrency", int64(c.Concurrency), 0},
		{"retry.min_backoff", int64(c.Retry.MinBackoff), 1},
		{"retry.max_backoff", int64(c.Retry.MaxBackoff), int64(c.Retry.MinBackoff)},
	})...)
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	return nil
}
