package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// serveKfake is the broker's process: it prints its address and serves until its standard input closes, which also
// happens when the test process dies, so that no broker is ever left behind.
func serveKfake() error {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "500"})) // kfake has none for a group
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println(strings.Join(c.ListenAddrs(), ","))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

var brokerAddrs = sync.OnceValues(func() (string, error) {
	if addrs := os.Getenv("KAFKA_BROKERS"); addrs != "" {
		return addrs, nil
	}
	cmd := self("kfake")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	cleanUps = append(cleanUps, func() { _ = stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	return strings.TrimSpace(line), err
})

// broker is the suite's broker as one test sees it.
type broker struct {
	addrs string
	adm   *kadm.Client
}

func newBroker(t testing.TB) *broker {
	addrs, err := brokerAddrs()
	require.NoError(t, err)
	b := &broker{addrs: addrs}
	cl, err := b.client()
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	b.adm = kadm.NewClient(cl)
	return b
}

// client makes a client of the suite's own. Topics are young here: what is not known yet is asked for again at once, not after 5 s.
func (b *broker) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(b.addrs, ",")...), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
}

// name makes a name for a topic or a group that no other run of the suite has: the broker may be somebody's.
func name(t testing.TB, what string) string {
	test := strings.NewReplacer("/", "-", " ", "-", "#", "-", "+", "-", ":", "-").Replace(t.Name())
	return fmt.Sprintf("%s-%s-%08x", test, what, rand.Uint32())
}

// topic creates a topic with its own name; configs are name, value pairs.
func (b *broker) topic(t testing.TB, what string, partitions int32, configs ...string) string {
	topic := name(t, what)
	set := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		set[configs[i]] = &configs[i+1]
	}
	_, err := b.adm.CreateTopic(context.Background(), partitions, -1, set, topic)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = b.adm.DeleteTopic(context.Background(), topic) })
	// A real broker answers before its partitions can be read and written.
	poll(t, time.Now().Add(time.Minute), "topic "+topic, func() (bool, error) {
		ends, err := b.ends(topic)
		return len(ends) == int(partitions), err
	})
	return topic
}

// ends gives the end offset of each partition. An error is returned, not failed on: it is called while waiting.
func (b *broker) ends(topic string) ([]int64, error) {
	listed, err := b.adm.ListEndOffsets(context.Background(), topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := make([]int64, len(listed[topic]))
	for p, l := range listed[topic] {
		ends[p] = l.Offset
	}
	return ends, nil
}

// committed gives the group's committed offset of each partition, -1 where there is none.
func (b *broker) committed(group, topic string, partitions int) ([]int64, error) {
	offsets := make([]int64, partitions)
	for p := range offsets {
		offsets[p] = -1
	}
	fetched, err := b.adm.FetchOffsets(context.Background(), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return offsets, nil
	}
	if err != nil {
		return nil, err
	}
	for p, o := range fetched[topic] {
		if o.Err != nil {
			return nil, o.Err
		}
		offsets[p] = o.At
	}
	return offsets, nil
}

// read gives every record of the topic up to the end as it is now to fn, in order for each partition.
func (b *broker) read(topic string, until time.Time, fn func(*kgo.Record), opts ...kgo.Opt) error {
	ends, err := b.ends(topic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	from, left := map[int32]kgo.Offset{}, 0
	for p, end := range ends {
		if end > 0 {
			from[int32(p)] = kgo.NewOffset().AtStart()
			left++
		}
	}
	if left == 0 {
		return nil
	}
	// With control records, or the end of a partition that ends with a transaction's marker would never be seen.
	cl, err := b.client(append(opts, kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxPartitionBytes(16<<20))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("reading %s back: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				fn(r)
			}
			if r.Offset == ends[r.Partition]-1 {
				left--
			}
		})
	}
	return nil
}

// poll asks every few milliseconds until ok or the deadline; a broker's passing error is no answer, so it asks again.
func poll(t testing.TB, until time.Time, what string, ok func() (bool, error)) {
	t.Helper()
	var last error
	for time.Now().Before(until) {
		done, err := ok()
		if err == nil && done {
			return
		}
		last = err
		time.Sleep(5 * time.Millisecond)
	}
	require.FailNow(t, "gave up waiting for "+what, "last error: %v", last)
}

func sum(offsets []int64) (n int64) {
	for _, o := range offsets {
		n += o
	}
	return n
}
