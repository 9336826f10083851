package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"

	"noecho/engine"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "host:port, joined with commas")
	topic := flag.String("topic", "orders", "topic whose records have the message's id as their key")
	group := flag.String("group", "orders-sarama", "consumer group")
	dataDir := flag.String("data-dir", "noecho-data", "where noecho keeps what it has seen")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, strings.Split(*brokers, ","), *topic, *group, *dataDir, func(m *sarama.ConsumerMessage) error {
		fmt.Printf("%d/%d %s\n", m.Partition, m.Offset, m.Value)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// run consumes until ctx ends, or the handler fails.
func run(ctx context.Context, brokers []string, topic, group, dataDir string, handle func(*sarama.ConsumerMessage) error) error {
	e, err := engine.Open(dataDir, engine.Options{Window: 24 * time.Hour})
	if err != nil {
		return err
	}
	defer e.Close()
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_8_0_0
	cfg.Consumer.IsolationLevel = sarama.ReadCommitted // an aborted record must not own a key
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	member, err := sarama.NewConsumerGroup(brokers, group, cfg)
	if err != nil {
		return err
	}
	defer member.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for ctx.Err() == nil { // once a rebalance
		if err := member.Consume(ctx, []string{topic}, &consumer{engine: e, handle: handle, stop: stop}); err != nil {
			stop(err)
		}
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
