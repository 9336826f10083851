package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
	"noecho/kafka"
)

// guarded is a member of a consumer group. noecho drops copies; a crash between the database's commit and Kafka's has
// records handled again, and the constraint makes that harmless.
func guarded(ctx context.Context, o options, db *pgxpool.Pool, e *engine.Engine) error {
	key, err := kafka.ParseKey("key")
	if err != nil {
		return err
	}
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Engine: e, Client: []kgo.Opt{kgo.SeedBrokers(o.brokers...)},
		Topic: o.topic, Group: o.group, Key: key, OnMissingKey: kafka.MissingFail, BatchRecords: batchRecords,
		CommitInterval: 100 * time.Millisecond, // the work of one interval is what a crash may have done again
		Handler:        func(ctx context.Context, b kafka.Batch) error { return upsert(ctx, db, b.Records) },
	})
	if err != nil {
		return err
	}
	if err := c.Preflight(ctx); err != nil {
		return err
	}
	return c.Run(ctx)
}
