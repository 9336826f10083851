package kafka

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// memberConfig is what a member needs to know, whatever its role; see RelayConfig and ConsumerConfig for the fields.
type memberConfig struct {
	Client                           []kgo.Opt
	Hooks                            []kgo.Hook
	Input, Group, InstanceID         string
	GroupProtocol                    GroupProtocol
	Key                              *KeyExtractor
	OnMissingKey                     MissingKey
	Scope                            Scope
	StartAt                          StartAt
	Learn                            Learn
	LearnFrom                        LearnFrom
	WhileRestoring                   WhileRestoring
	ChangelogTopic                   string
	Standby                          bool
	CommitInterval                   time.Duration
	SessionTimeout, RebalanceTimeout time.Duration
	QueueBytes, TotalQueueBytes      int64
	FetchPartitionBytes              int32
	DecompressBytes                  int64
	ChunkRecords, ChunkBytes         int  // what is decided together at the most
	Transactional                    bool // commits go with the output: see transaction
	Logger                           *slog.Logger
}

func (c *memberConfig) ensureDefaults(id string) {
	if id != "" { // of no store, in bypass
		def(&c.InstanceID, "noecho-"+id)
	}
	def(&c.OnMissingKey, MissingPass)
	def(&c.Scope, ScopePartition)
	def(&c.StartAt, StartEarliest)
	def(&c.Learn, LearnHandled)
	def(&c.LearnFrom, LearnFromWindow)
	def(&c.WhileRestoring, RestoringBlock)
	def(&c.CommitInterval, time.Second)
	def(&c.GroupProtocol, ProtocolClassic)
	if c.GroupProtocol != ProtocolConsumer { // whose coordinator has one
		def(&c.SessionTimeout, 45*time.Second)
	}
	def(&c.RebalanceTimeout, 60*time.Second)
	def(&c.QueueBytes, 64<<20)
	def(&c.TotalQueueBytes, 512<<20)
	def(&c.FetchPartitionBytes, 1<<20)
	def(&c.DecompressBytes, 128<<20)
	def(&c.ChunkRecords, chunkRecords)
	def(&c.ChunkBytes, chunkBytes)
	if c.Key == nil {
		c.Key = defaultKey()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// problems collects every violation.
func (c *memberConfig) problems() (problems []string) {
	if c.Group == "" {
		problems = append(problems, "group is missing")
	}
	if err := c.OnMissingKey.validate(); err != nil {
		problems = append(problems, err.Error())
	}
	if err := c.Scope.validate(); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, c.protocolProblems()...)
	if err := oneOf("start_at", c.StartAt, StartEarliest, StartLatest); err != nil {
		problems = append(problems, err.Error())
	}
	if err := c.Learn.validate(); err != nil {
		problems = append(problems, err.Error())
	}
	if _, err := c.LearnFrom.parse(); err != nil {
		problems = append(problems, err.Error())
	} else if c.Learn == LearnOff && c.LearnFrom != LearnFromWindow {
		problems = append(problems, fmt.Sprintf("learn_from is %s, but learn is off, so that nothing is learned; leave one of the two away", c.LearnFrom))
	}
	problems = append(problems, c.WhileRestoring.problems(c)...)
	if c.Scope == ScopeTopic && c.ChangelogTopic != "" {
		problems = append(problems, "scope topic and a changelog do not go together: one member has the whole topic, so nobody takes over from it, "+
			"and what it lacks it must learn from the input together with its output")
	}
	if c.Standby && c.ChangelogTopic == "" {
		problems = append(problems, "standby needs changelog_topic: that is what it follows")
	}
	return append(problems, tooSmall([]least{
		{"commit_interval", int64(c.CommitInterval), int64(time.Millisecond)},
		{"rebalance_timeout", int64(c.RebalanceTimeout), int64(100 * time.Millisecond)},
		{"queue_bytes", c.QueueBytes, 1},
		{"total_queue_bytes", c.TotalQueueBytes, 1},
		{"fetch_partition_bytes", int64(c.FetchPartitionBytes), 1},
		{"decompress_bytes", c.DecompressBytes, 1},
	})...)
}

func (c *memberConfig) protocolProblems() []string {
	if err := c.GroupProtocol.validate(); err != nil {
		return []string{err.Error()}
	}
	if c.GroupProtocol == ProtocolConsumer && c.SessionTimeout != 0 {
		return []string{"session_timeout is the brokers' with group_protocol consumer: leave it out, and set consumer.session.timeout.ms of the group"}
	}
	if c.GroupProtocol == ProtocolConsumer {
		return nil
	}
	return tooSmall([]least{{"session_timeout", int64(c.SessionTimeout), int64(100 * time.Millisecond)}})
}

// oneOf says that a setting is none of the values that it may have.
func oneOf[T ~string](setting string, value T, known ...T) error {
	var names []string
	for _, k := range known {
		if value == k {
			return nil
		}
		names = append(names, string(k))
	}
	return fmt.Errorf("%s %q is none of %s", setting, string(value), strings.Join(names, ", "))
}

// least is a setting and the least it may be.
type least struct {
	name       string
	value, min int64
}

func tooSmall(settings []least) (problems []string) {
	for _, at := range settings {
		if at.value < at.min {
			problems = append(problems, fmt.Sprintf("%s is %d, less than %d", at.name, at.value, at.min))
		}
	}
	return problems
}
