package demo

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What the demo calls its topics and its group.
const (
	inputTopic  = "orders"
	outputTopic = "orders-unique"
	groupName   = "noecho-demo"
	partitions  = 4
)

// broker is a Kafka broker inside this process, listening on a free loopback port, keeping its log in memory.
type broker struct{ cluster *kfake.Cluster }

func startBroker() (*broker, error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, inputTopic, outputTopic))
	if err != nil {
		return nil, fmt.Errorf("cannot start the demo's broker: %w", err)
	}
	return &broker{c}, nil
}

func (b *broker) Addr() string { return b.cluster.ListenAddrs()[0] }
func (b *broker) Close()       { b.cluster.Close() }

// end returns how many records the topic has: nothing is ever deleted from it.
func (b *broker) end(topic string) (n int64) {
	for _, p := range b.cluster.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

// drained reports whether the group has committed the input's end, every partition of it.
func (b *broker) drained() bool {
	g := b.cluster.GroupInfo(groupName)
	if g == nil {
		return false
	}
	for _, p := range b.cluster.PartitionInfos(inputTopic) {
		if g.Commits[inputTopic][p.Partition].Offset < p.HighWatermark {
			return false
		}
	}
	return true
}

// read returns the order ids of a topic, a slice for each partition, in offset order, up to the ends of now.
func (b *broker) read(ctx context.Context, topic string) ([][]string, error) {
	infos := b.cluster.PartitionInfos(topic)
	ids := make([][]string, len(infos))
	start := map[int32]kgo.Offset{}
	var left int64
	for _, p := range infos {
		start[p.Partition] = kgo.NewOffset().At(0)
		left += p.HighWatermark
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("cannot read %s back: %w", topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); left-- {
			r := it.Next()
			id, err := orderID(r.Value)
			if err != nil {
				return nil, fmt.Errorf("%s/%d, offset %d: %w", topic, r.Partition, r.Offset, err)
			}
			ids[r.Partition] = append(ids[r.Partition], id)
		}
	}
	return ids, nil
}
