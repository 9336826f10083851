package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
)

// orders is for guarded: its primary key is the belt beside noecho's braces. redelivered and copies count what ran into it;
// who only wants to be safe leaves them out and says ON CONFLICT DO NOTHING.
//
// sales and positions are for exactlyOnce. sales has no constraint that would stop a second row for an order.
const schema = `
CREATE TABLE IF NOT EXISTS orders (
	id          text PRIMARY KEY,
	customer    text NOT NULL,
	cents       bigint NOT NULL,
	kpartition  int NOT NULL,           -- where the row came from
	koffset     bigint NOT NULL,
	redelivered int NOT NULL DEFAULT 0, -- the same record again
	copies      int NOT NULL DEFAULT 0  -- another record with the same order: what noecho is there to drop
);
CREATE TABLE IF NOT EXISTS sales (
	order_id text NOT NULL,
	customer text NOT NULL,
	cents    bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS positions (
	topic      text NOT NULL,
	kpartition int NOT NULL,
	next       bigint NOT NULL, -- every record below it has had its effect, and no other has
	PRIMARY KEY (topic, kpartition)
);`

// order is the value of a record.
type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

func decode(r *kgo.Record) (o order, err error) {
	if err = json.Unmarshal(r.Value, &o); err != nil {
		err = fmt.Errorf("%s/%d/%d is no order: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return o, err
}

const upsertOrder = `
INSERT INTO orders (id, customer, cents, kpartition, koffset) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET
	redelivered = orders.redelivered + ((orders.kpartition, orders.koffset) = (excluded.kpartition, excluded.koffset))::int,
	copies      = orders.copies + ((orders.kpartition, orders.koffset) <> (excluded.kpartition, excluded.koffset))::int`

// upsert writes orders. The statements go to the server together, and are one transaction.
func upsert(ctx context.Context, db *pgxpool.Pool, records []*kgo.Record) error {
	batch := new(pgx.Batch)
	for _, r := range records {
		o, err := decode(r)
		if err != nil {
			return err
		}
		batch.Queue(upsertOrder, o.ID, o.Customer, o.Cents, r.Partition, r.Offset)
	}
	return db.SendBatch(ctx, batch).Close()
}

const (
	insertSale = `INSERT INTO sales (order_id, customer, cents) VALUES ($1, $2, $3)`
	// The old position in the condition makes it a lock: a process that believes in another one changes nothing.
	movePosition = `UPDATE positions SET next = $4 WHERE topic = $1 AND kpartition = $2 AND next = $3`
)

// sell writes sales and moves the position from one offset to the next: both or neither.
func sell(ctx context.Context, db *pgxpool.Pool, topic string, partition int32, from, to int64, records []*kgo.Record) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		moved, err := tx.Exec(ctx, movePosition, topic, partition, from, to)
		if err != nil {
			return err
		}
		if moved.RowsAffected() != 1 {
			return fmt.Errorf("%s/%d is no longer at offset %d: another process has it", topic, partition, from)
		}
		batch := new(pgx.Batch)
		for _, r := range records {
			o, err := decode(r)
			if err != nil {
				return err
			}
			batch.Queue(insertSale, o.ID, o.Customer, o.Cents)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// position returns the offset at which the partition goes on, 0 when it was never read.
func position(ctx context.Context, db *pgxpool.Pool, topic string, partition int32) (next int64, err error) {
	if _, err = db.Exec(ctx, `INSERT INTO positions VALUES ($1, $2, 0) ON CONFLICT DO NOTHING`, topic, partition); err != nil {
		return 0, err
	}
	err = db.QueryRow(ctx, `SELECT next FROM positions WHERE topic = $1 AND kpartition = $2`, topic, partition).Scan(&next)
	return next, err
}
