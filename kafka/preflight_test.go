package kafka

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/bloom"
	"noecho/engine"
)

// preflight runs Preflight of a relay with an edited configuration and returns its error, or NewRelay's.
func (w *world) preflight(edit func(*RelayConfig)) error {
	w.t.Helper()
	cfg := w.config(&network{})
	edit(&cfg)
	r, err := newRelay(cfg, namedStore("x"))
	if err != nil {
		return err
	}
	return r.Preflight(tContext(w.t))
}

type namedStore string

func (s namedStore) ID() string { return string(s) }

func (s namedStore) Window() (time.Duration, int) { return time.Hour, 1 }

func (s namedStore) Partition(string, int32) (partition, error) {
	return nil, errors.New("no partitions")
}

func (namedStore) Coverages() []engine.Coverage { return nil }

func (namedStore) Hash([]byte) bloom.Hash { return bloom.Hash{} }

func (namedStore) HashID() (uint64, bool) { return 0, false }

func TestPreflight(t *testing.T) {
	w := newWorld(t, 2)
	require.NoError(t, w.preflight(func(*RelayConfig) {}))
	require.NoError(t, w.cluster.CreateTopic("narrow", 1, nil))
	require.NoError(t, w.cluster.CreateTopic("small", 2, nil))
	w.limit("small", 5000)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that nobody listens on: taken, then closed
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())

	var broker *BrokerError
	err = w.preflight(func(c *RelayConfig) { c.Client = []kgo.Opt{kgo.SeedBrokers(nobody)} })
	require.ErrorAs(t, err, &broker)
	require.ErrorContains(t, err, "check the brokers' addresses")

	var topic *TopicError
	err = w.preflight(func(c *RelayConfig) { c.Input = "nowhere" })
	require.ErrorAs(t, err, &topic)
	require.Equal(t, "nowhere", topic.Topic)
	err = w.preflight(func(c *RelayConfig) { c.Output = "nowhere" })
	require.ErrorAs(t, err, &topic)
	require.ErrorContains(t, err, "as many partitions as the input has (2)")
	err = w.preflight(func(c *RelayConfig) { c.Input = "not a name" })
	require.ErrorAs(t, err, &topic)

	var count *PartitionCountError
	require.ErrorAs(t, w.preflight(func(c *RelayConfig) { c.Output = "narrow" }), &count)
	require.Equal(t, 2, count.InputN)
	require.Equal(t, 1, count.OutputN)

	var size *MessageSizeError
	err = w.preflight(func(c *RelayConfig) { c.Output = "small" })
	require.ErrorAs(t, err, &size)
	require.Equal(t, 5000, size.OutputBytes)

	require.ErrorIs(t, w.preflight(func(c *RelayConfig) { c.Output = c.Input }), ErrSameTopic)
}

func TestPreflightRights(t *testing.T) {
	w := newWorld(t, 2)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, Err: kerr.GroupAuthorizationFailed})
	var group *GroupError
	require.ErrorAs(t, w.preflight(func(*RelayConfig) {}), &group)
	require.ErrorContains(t, group, "READ on the group")

	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: testIn, Err: kerr.TopicAuthorizationFailed, Count: 1})
	var topic *TopicError
	require.ErrorAs(t, w.preflight(func(*RelayConfig) {}), &topic)
	require.ErrorContains(t, topic, "rights")

	// Who may not read topic configs may relay all the same.
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	require.NoError(t, w.preflight(func(*RelayConfig) {}))
}

func TestConfig(t *testing.T) {
	_, err := NewRelay(RelayConfig{})
	var config *ConfigError
	require.ErrorAs(t, err, &config)
	_, err = newRelay(RelayConfig{StartAt: "middle", OnMissingKey: "shrug", CommitInterval: -1}, namedStore("x"))
	require.ErrorAs(t, err, &config)
	require.Len(t, config.Problems, 6) // three names missing, and the three above
	r, err := newRelay(RelayConfig{Input: "a", Output: "b", Group: "g"}, namedStore("abc"))
	require.NoError(t, err)
	require.Equal(t, "noecho-abc", r.cfg.InstanceID)
	require.Equal(t, "payload", r.cfg.Key.String())
	_, err = newRelay(RelayConfig{Input: "a", Output: "b", Group: "g", Client: []kgo.Opt{kgo.SeedBrokers()}}, namedStore("abc"))
	require.NoError(t, err)
}

func TestPreflightDuplicates(t *testing.T) {
	w := withDuplicates(t, 2)
	require.NoError(t, w.preflight(toTopic))
	require.NoError(t, w.cluster.CreateTopic("narrow", 1, nil))
	require.NoError(t, w.cluster.CreateTopic("small", 2, nil))
	w.limit("small", 5000)
	for topic, says := range map[string]string{
		"nowhere": "it does not exist; create it with as many partitions as the input has (2)",
		"narrow":  "it has 1 partitions, the input has 2; a duplicate keeps its partition's number, so give it at least 2",
		"small":   "it takes batches of at most 5000 bytes, the input of",
	} {
		err := w.preflight(func(c *RelayConfig) { c.OnDuplicate, c.DuplicatesTopic = DuplicateTopic, topic })
		var bad *TopicError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, topic, bad.Topic)
		require.ErrorContains(t, err, says)
	}
	var config *ConfigError
	for says, edit := range map[string]func(*RelayConfig){
		"duplicates_topic is missing":                  func(c *RelayConfig) { c.OnDuplicate = DuplicateTopic },
		"which is the input or the output":             func(c *RelayConfig) { c.OnDuplicate, c.DuplicatesTopic = DuplicateTopic, testOut },
		`duplicates_topic is "orders", which is the`:   func(c *RelayConfig) { c.OnDuplicate, c.DuplicatesTopic = DuplicateTopic, testIn },
		"but on_duplicate is tag, which does not use":  func(c *RelayConfig) { c.OnDuplicate, c.DuplicatesTopic = DuplicateTag, testDup },
		`on_duplicate "keep" is none of drop, tag`:     func(c *RelayConfig) { c.OnDuplicate = "keep" },
		`mode "off" is none of active, shadow, bypass`: func(c *RelayConfig) { c.Mode = "off" },
	} {
		err := w.preflight(edit)
		require.ErrorAs(t, err, &config)
		require.ErrorContains(t, err, says)
	}
}
