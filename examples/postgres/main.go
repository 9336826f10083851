package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"noecho/engine"
)

type options struct {
	brokers  []string
	topic    string
	group    string
	database string
	dataDir  string
	mode     string
}

func main() {
	var o options
	brokers := flag.String("brokers", "127.0.0.1:9092", "host:port, joined with commas")
	flag.StringVar(&o.topic, "topic", "orders", "topic with orders, as JSON; the order's id is the record's key")
	flag.StringVar(&o.group, "group", "orders-to-postgres", "consumer group; with -mode guarded")
	flag.StringVar(&o.database, "database", "postgres:///orders", "as libpq takes it")
	flag.StringVar(&o.dataDir, "data-dir", "noecho-data", "where noecho keeps what it has seen")
	flag.StringVar(&o.mode, "mode", "guarded", "guarded or exactly-once")
	flag.Parse()
	o.brokers = strings.Split(*brokers, ",")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	db, err := pgxpool.New(ctx, o.database)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec(ctx, schema); err != nil {
		return err
	}
	e, err := engine.Open(o.dataDir, engine.Options{Window: 24 * time.Hour})
	if err != nil {
		return err
	}
	defer e.Close()
	switch o.mode {
	case "guarded":
		return guarded(ctx, o, db, e)
	case "exactly-once":
		return exactlyOnce(ctx, o, db, e)
	}
	return fmt.Errorf("-mode %q is none of guarded, exactly-once", o.mode)
}
