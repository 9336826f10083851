package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/bench/internal/relays"
	"noecho/engine"
	"noecho/kafka"
)

// consumed is what the consumer's process prints.
type consumed struct {
	Records int           `json:"records"`
	Passed  int           `json:"passed"`
	Took    time.Duration `json:"took_ns"`
	CPU     time.Duration `json:"cpu_ns"` // of the process, by rusage, from the making of the client to the last commit
}

// runConsumer consumes in a group and does nothing, or decodes the JSON: args are brokers, input, records, the form (a filter in a plain loop, or
// consumer:DIR), handler and group.
func runConsumer(args []string) error {
	records, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	run := consumePlain
	if strings.HasPrefix(args[3], "consumer:") {
		run = consumeWith
	}
	handle := func(*kgo.Record) error { return nil }
	if args[4] == "json" {
		handle = func(r *kgo.Record) error {
			var order struct{ Order, Partition int }
			return json.Unmarshal(r.Value, &order)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), relays.Patience)
	defer cancel()
	c, err := run(ctx, args, records, handle)
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(c))
}

// consumePlain is a loop of somebody's own, which commits once a second.
func consumePlain(ctx context.Context, args []string, records int, handle func(*kgo.Record) error) (c consumed, err error) {
	filter, finish, err := newFilter(args[3])
	if err != nil {
		return c, err
	}
	began, used := time.Now(), rusage()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(args[0], ",")...), kgo.ConsumerGroup(args[5]), kgo.InstanceID(args[5]), kgo.ConsumeTopics(args[1]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.AutoCommitInterval(time.Second))
	if err != nil {
		return c, err
	}
	defer cl.Close()
	for c.Records < records {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return c, err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			passed := p.Records
			c.Records += len(passed)
			if filter != nil && len(passed) > 0 && err == nil {
				passed, err = filter(p.Partition, passed)
			}
			for _, r := range passed {
				c.Passed++
				err = errors.Join(err, handle(r))
			}
		})
		if err != nil {
			return c, err
		}
	}
	err = errors.Join(finish(), cl.CommitUncommittedOffsets(ctx)) // the last commit is part of the work
	c.Took, c.CPU = time.Since(began), rusage()-used
	return c, err
}

// consumeWith is the library's consumer.
func consumeWith(ctx context.Context, args []string, records int, handle func(*kgo.Record) error) (c consumed, err error) {
	e, err := engine.Open(strings.TrimPrefix(args[3], "consumer:"), engine.Options{Window: 24 * time.Hour})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	key, err := kafka.ParseKey("key")
	if err != nil {
		return c, err
	}
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Engine: e, Client: []kgo.Opt{kgo.SeedBrokers(strings.Split(args[0], ",")...)}, Topic: args[1], Group: args[5], Key: key,
		Handler: func(_ context.Context, b kafka.Batch) error {
			for _, r := range b.Records {
				if err := handle(r); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return c, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	began, used := time.Now(), rusage()
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.Records < records {
		select {
		case err := <-done:
			return c, fmt.Errorf("the consumer ended by itself: %w", err)
		case <-tick.C:
			t := consumer.Stats().Totals
			c.Records, c.Passed = int(t.Handled+t.Duplicate), int(t.Handled)
		}
	}
	stop() // and commits
	err = <-done
	c.Took, c.CPU = time.Since(began), rusage()-used
	return c, err
}
