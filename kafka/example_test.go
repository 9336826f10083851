package kafka_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
	"noecho/kafka"
)

// A topic with a duplicate in, a topic without it out.
func Example() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "orders-clean")) // stands for a real one
	check(err)
	defer cluster.Close()
	brokers := kgo.SeedBrokers(cluster.ListenAddrs()...)
	produce(brokers, "order-1", "order-2", "order-1", "order-3")

	dir, err := os.MkdirTemp("", "noecho")
	check(err)
	defer os.RemoveAll(dir)
	e, err := engine.Open(dir, engine.Options{Window: 24 * time.Hour})
	check(err)
	defer e.Close()
	key, err := kafka.ParseKey("value")
	check(err)
	relay, err := kafka.NewRelay(kafka.RelayConfig{
		Engine: e, Client: []kgo.Opt{brokers}, Input: "orders", Output: "orders-clean", Group: "relay", Key: key,
	})
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	check(relay.Preflight(ctx))
	done := make(chan error)
	go func() { done <- relay.Run(ctx) }()

	consume(brokers, 3)
	stop() // drains and commits
	check(<-done)
	fmt.Println("dropped:", relay.Stats().Totals.Duplicate)
	// Output:
	// order-1 orders/0/0
	// order-2 orders/0/1
	// order-3 orders/0/3
	// dropped: 1
}

func produce(brokers kgo.Opt, values ...string) {
	cl, err := kgo.NewClient(brokers)
	check(err)
	defer cl.Close()
	for _, v := range values {
		check(cl.ProduceSync(context.Background(), &kgo.Record{Topic: "orders", Value: []byte(v)}).FirstErr())
	}
}

func consume(brokers kgo.Opt, n int) {
	cl, err := kgo.NewClient(brokers, kgo.ConsumeTopics("orders-clean"))
	check(err)
	defer cl.Close()
	for n > 0 {
		cl.PollFetches(context.Background()).EachRecord(func(r *kgo.Record) {
			fmt.Printf("%s %s\n", r.Value, r.Headers[0].Value)
			n--
		})
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
