package kafka

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// StartAt says where a partition starts that neither the group nor the store knows.
type StartAt string

const (
	// StartEarliest starts at the oldest record the topic has.
	StartEarliest StartAt = "earliest"
	// StartLatest starts at the end the topic has when the group is new. A partition that the group meets later (added to
	// the topic, or never claimed because the first start was cut short) starts at its oldest record: nothing is passed over.
	StartLatest StartAt = "latest"
)

// RelayConfig configures a Relay. Zero values mean the defaults named with the fields.
type RelayConfig struct {
	// Engine holds the state. The relay claims the partitions that it is assigned and closes their handles; the caller
	// closes the engine, after Run has returned.
	Engine *engine.Engine
	// Client options: seed brokers, TLS, SASL, logger. They go first, so that the relay's own win. Several clients are made
	// with them, one for Preflight and one for each restore besides the relay's own.
	Client []kgo.Opt
	// Hooks of the relay's own client, for metrics. Hooks that register themselves somewhere belong here, not in Client.
	Hooks []kgo.Hook

	Input, Output string
	Group         string
	// InstanceID is the static membership's id; default "noecho-" and the engine's id. With it a process that was killed
	// gets its partitions back at once, where a dynamic member's would wait for the session to expire.
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

	OnDuplicate OnDuplicate // default: drop
	// DuplicatesTopic takes the duplicates with OnDuplicate topic. It needs as many partitions as the input has.
	DuplicatesTopic string
	// Fencing, default none, says whether the output is written in transactions, together with the offsets.
	Fencing Fencing
	// Mode is what the relay starts with; default active. Without an Engine (one that cannot be opened) it must be bypass, and
	// InstanceID must be given.
	Mode Mode

	// CommitInterval is the time between commits; default 1 s. A restart repeats at most the work of one interval
	// (reading only: the output's tail is recovered).
	CommitInterval time.Duration
	// SessionTimeout, default 45 s, and RebalanceTimeout, default 60 s, are the group's. Revoked partitions are drained
	// within half of the latter. With ProtocolConsumer the former is the brokers' to say (consumer.session.timeout.ms of the group, else
	// group.consumer.session.timeout.ms), and must be 0 here.
	SessionTimeout, RebalanceTimeout time.Duration
	// SettleWait is the pause between two looks at the output's end after a stop that was not clean; default 250 ms.
	// A request of a killed predecessor that is still under way for longer than that may repeat records.
	SettleWait time.Duration

	// QueueBytes bounds the memory of the records waiting in a partition's queue, keys, values and headers and 256 bytes for
	// each record; default 64 MiB. At half of it, or 4 MiB, the relay polls no more while all partitions have work; at the
	// bound the partition's fetching is paused. One poll may overshoot it.
	QueueBytes int64
	// TotalQueueBytes bounds the queues together; default 512 MiB. With many partitions each one's share is smaller.
	TotalQueueBytes int64
	// FetchPartitionBytes bounds what one fetch brings of a partition; default 1 MiB.
	FetchPartitionBytes int32
	// DecompressBytes bounds a batch of the input after decompression; default 128 MiB. A larger one stops the relay.
	DecompressBytes int64
	// BatchBytes is the size at which a batch for the output is closed, before compression; default 1,000,000, less with
	// more than 64 partitions, and never more than the output's max.message.bytes.
	BatchBytes int
	// Compression of the output, the first that the client knows; default snappy.
	Compression []kgo.CompressionCodec

	Logger *slog.Logger // default: discard
}

func (c *RelayConfig) ensureDefaults(id string) {
	m := c.member()
	m.ensureDefaults(id)
	c.adopt(&m)
	def(&c.OnDuplicate, DuplicateDrop)
	def(&c.Mode, ModeActive)
	def(&c.Fencing, FencingNone)
	def(&c.SettleWait, 250*time.Millisecond)
	def(&c.BatchBytes, 1_000_000)
	if len(c.Compression) == 0 {
		c.Compression = []kgo.CompressionCodec{kgo.SnappyCompression(), kgo.NoCompression()}
	}
}

// member returns the part of it that the group's half needs.
func (c *RelayConfig) member() memberConfig {
	return memberConfig{
		Client: c.Client, Hooks: c.Hooks, Input: c.Input, Group: c.Group, InstanceID: c.InstanceID, GroupProtocol: c.GroupProtocol,
		Key: c.Key, OnMissingKey: c.OnMissingKey, Scope: c.Scope, StartAt: c.StartAt, Learn: c.Learn, LearnFrom: c.LearnFrom, WhileRestoring: c.WhileRestoring,
		ChangelogTopic: c.ChangelogTopic, Standby: c.Standby,
		CommitInterval: c.CommitInterval, SessionTimeout: c.SessionTimeout, RebalanceTimeout: c.RebalanceTimeout,
		QueueBytes: c.QueueBytes, TotalQueueBytes: c.TotalQueueBytes,
		FetchPartitionBytes: c.FetchPartitionBytes, DecompressBytes: c.DecompressBytes,
		ChunkRecords: chunkRecords, ChunkBytes: chunkBytes, Transactional: c.Fencing == FencingTransactional, Logger: c.Logger,
	}
}

// adopt takes over what defaults have filled in.
func (c *RelayConfig) adopt(m *memberConfig) {
	c.InstanceID, c.Key, c.OnMissingKey, c.Scope = m.InstanceID, m.Key, m.OnMissingKey, m.Scope
	c.StartAt, c.Learn, c.LearnFrom, c.WhileRestoring = m.StartAt, m.Learn, m.LearnFrom, m.WhileRestoring
	c.GroupProtocol = m.GroupProtocol
	c.CommitInterval, c.SessionTimeout, c.RebalanceTimeout = m.CommitInterval, m.SessionTimeout, m.RebalanceTimeout
	c.QueueBytes, c.TotalQueueBytes = m.QueueBytes, m.TotalQueueBytes
	c.FetchPartitionBytes, c.DecompressBytes, c.Logger = m.FetchPartitionBytes, m.DecompressBytes, m.Logger
}

// Validate checks what NewRelay does, all at once, but for what takes the Engine: that it is there, and has a Seed where there is a
// changelog. The error is a *ConfigError or ErrSameTopic. It changes nothing and asks nobody.
func (c RelayConfig) Validate() error {
	c.ensureDefaults("any") // the engine's id makes the member's name
	return c.validate()
}

// validate collects every violation.
func (c *RelayConfig) validate() error {
	var problems []string
	for _, named := range []struct{ name, value string }{{"input", c.Input}, {"output", c.Output}} {
		if named.value == "" {
			problems = append(problems, named.name+" is missing")
		}
	}
	m := c.member()
	problems = append(problems, m.problems()...)
	problems = append(problems, changelogProblems(c.ChangelogTopic, c.Input, c.Output, c.DuplicatesTopic)...)
	problems = append(problems, tooSmall([]least{{"settle_wait", int64(c.SettleWait), 1}, {"batch_bytes", int64(c.BatchBytes), 1}})...)
	if c.InstanceID == "" {
		problems = append(problems, "instance_id is missing: without a store there is none to take")
	}
	problems = append(problems, c.validateDuplicates()...)
	if err := c.Fencing.validate(); err != nil {
		problems = append(problems, err.Error())
	}
	if c.Fencing == FencingTransactional {
		if c.ChangelogTopic != "" {
			problems = append(problems, "fencing transactional and a changelog do not go together: a transaction that is aborted would have been told")
		}
		if c.Scope == ScopeTopic {
			problems = append(problems, "fencing transactional and scope topic do not go together: a copy waits until its original is committed, and the commit for the copy; "+
				"one member has the whole topic, so there is no other to be fenced")
		}
	}
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	if c.Input == c.Output {
		return ErrSameTopic
	}
	return nil
}
