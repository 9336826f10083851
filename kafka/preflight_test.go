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
