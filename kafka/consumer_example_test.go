package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
	"noecho/kafka"
)

// A topic with a duplicate, and a record that cannot be handled.
func ExampleConsumer() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "orders-dead")) // stands for a real one
	check(err)
	defer cluster.Close()
	brokers := kgo.SeedBrokers(cluster.ListenAddrs()...)
	produce(brokers, "order-1", "order-2", "order-1", "garbage", "order-3")

	e, closeEngine := openEngine()
	defer closeEngine()
	key, err := kafka.ParseKey("value")
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Engine: e, Client: []kgo.Opt{brokers}, Topic: "orders", Group: "billing", Key: key,
		Retry:   kafka.Retry{Attempts: 2, MinBackoff: time.Millisecond},
		OnError: kafka.OnErrorDeadLetter, DeadLetterTopic: "orders-dead",
		Handler: func(ctx context.Context, b kafka.Batch) error {
			var failed kafka.RecordErrors
			for i, r := range b.Records {
				if string(r.Value) == "garbage" {
					failed.Add(i, errors.New("not an order"))
					continue
				}
				fmt.Printf("%s at %d\n", r.Value, r.Offset) // once here, whatever the producer repeats
			}
			return failed.Err()
		},
	})
	check(err)
	check(consumer.Preflight(ctx))
	done := make(chan error)
	go func() { done <- consumer.Run(ctx) }()

	s := consumer.Stats().Totals
	for ; s.Handled < 3 || s.DeadLettered < 1; s = consumer.Stats().Totals {
		time.Sleep(time.Millisecond)
	}
	stop() // lets the handler finish, and commits
	check(<-done)
	fmt.Println("dropped:", s.Duplicate, "dead letters:", s.DeadLettered)
	// Output:
	// order-1 at 0
	// order-2 at 1
	// order-3 at 4
	// dropped: 1 dead letters: 1
}

// The poll loop is the caller's own; the filter leaves out the duplicates.
func ExampleFilter() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	check(err)
	defer cluster.Close()
	brokers := kgo.SeedBrokers(cluster.ListenAddrs()...)
	produce(brokers, "order-1", "order-2", "order-1", "order-3", "order-1")

	e, closeEngine := openEngine()
	defer closeEngine()
	key, err := kafka.ParseKey("value")
	check(err)
	filter, err := kafka.NewFilter(kafka.FilterConfig{Engine: e, Key: key})
	check(err)
	defer filter.Close()
	cl, err := kgo.NewClient(append(filter.Options(), brokers, kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"))...)
	check(err)
	defer cl.CloseAllowingRebalance()

	ctx := context.Background()
	var passed []*kgo.Record
	for filter.Stats().Duplicate < 2 {
		fetches := cl.PollFetches(ctx)
		check(fetches.Err())
		passed, err = filter.Fetches(fetches, passed[:0])
		check(err)
		for _, r := range passed {
			fmt.Printf("%s at %d\n", r.Value, r.Offset)
		}
		check(filter.CommitOffsets(ctx, cl)) // all of it is done: marks, then offsets
		cl.AllowRebalance()
	}
	// Output:
	// order-1 at 0
	// order-2 at 1
	// order-3 at 3
}

func openEngine() (e *engine.Engine, closeIt func()) {
	dir, err := os.MkdirTemp("", "noecho")
	check(err)
	e, err = engine.Open(dir, engine.Options{Window: 24 * time.Hour})
	check(err)
	return e, func() { check(e.Close()); check(os.RemoveAll(dir)) }
}
