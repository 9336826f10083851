package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/bench/internal/peer"
	"noecho/bench/internal/relays"
	"noecho/engine"
)

// The parts that this executable plays as a child process.
var roles = map[string]func(args []string) error{
	relays.BareRole: func(args []string) error {
		filter, finish, err := newFilter(args[4])
		if err != nil {
			return err
		}
		return errors.Join(relays.Bare(args[:4], filter, kgo.ProducerLinger(linger(args[5]))), finish())
	},
	"txn-relay": runTransactional,
	"consumer":  runConsumer,
	"restore":   runRestore,
	"takeover":  runTakeover,
	"member":    runMember,
}

// linger reads how long a producer may wait for more.
func linger(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return d
}

// newFilter makes the filter that a word names: none, redis:ADDR, redis-pipe:ADDR, engine:DIR.
func newFilter(word string) (f relays.Filter, finish func() error, err error) {
	kind, where, _ := strings.Cut(word, ":")
	switch kind {
	case "none":
		return nil, func() error { return nil }, nil
	case "redis", "redis-pipe":
		c, err := peer.DialSetNX(where, kind == "redis-pipe")
		if err != nil {
			return nil, nil, err
		}
		return redisFilter(c), c.Close, c.Forget()
	case "engine":
		return engineFilter(where)
	}
	return nil, nil, fmt.Errorf("no filter is called %q", word)
}

func redisFilter(c *peer.SetNX) relays.Filter {
	var keys [][]byte
	var offsets []int64
	var fresh []bool
	return func(_ int32, records []*kgo.Record) ([]*kgo.Record, error) {
		keys, offsets = keys[:0], offsets[:0]
		for _, r := range records {
			keys, offsets = append(keys, r.Key), append(offsets, r.Offset)
		}
		fresh = append(fresh[:0], make([]bool, len(records))...)
		if err := c.Fresh(keys, offsets, fresh); err != nil {
			return nil, err
		}
		passed := records[:0]
		for i, r := range records {
			if fresh[i] {
				passed = append(passed, r)
			}
		}
		return passed, nil
	}
}

// engineFilter asks the bare engine, in a loop that somebody else has written, and commits once a second.
func engineFilter(dir string) (relays.Filter, func() error, error) {
	e, err := engine.Open(dir, engine.Options{Window: 24 * time.Hour})
	if err != nil {
		return nil, nil, err
	}
	type part struct {
		p    *engine.Partition
		next int64
	}
	parts := map[int32]*part{}
	var recs []engine.Record
	var verdicts []engine.Verdict
	commit := func() error {
		for _, p := range parts {
			if err := p.p.Commit(context.Background(), p.next); err != nil {
				return err
			}
		}
		return nil
	}
	last := time.Now()
	filter := func(partition int32, records []*kgo.Record) ([]*kgo.Record, error) {
		p := parts[partition]
		if p == nil {
			claimed, err := e.Partition("bench", partition)
			if err != nil {
				return nil, err
			}
			p = &part{p: claimed}
			parts[partition] = p
		}
		recs = recs[:0]
		for _, r := range records {
			recs = append(recs, engine.Record{Key: r.Key, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()})
		}
		if verdicts, err = p.p.Check(recs, verdicts[:0]); err != nil {
			return nil, err
		}
		p.next = recs[len(recs)-1].Offset + 1
		passed := records[:0]
		for i, r := range records {
			if verdicts[i].Kind != engine.Duplicate {
				passed = append(passed, r)
			}
		}
		if time.Since(last) >= time.Second {
			last = time.Now()
			return passed, commit()
		}
		return passed, nil
	}
	return filter, func() error { return errors.Join(commit(), e.Close()) }, nil
}

// runTransactional copies a topic in transactions: args are brokers, input, output, group, and the time between commits.
func runTransactional(args []string) error {
	brokers, input, output, group := args[0], args[1], args[2], args[3]
	interval, err := time.ParseDuration(args[4])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.TransactionalID(group), kgo.TransactionTimeout(time.Minute),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.MaxBufferedRecords(100_000), kgo.ProducerLinger(linger(args[5])),
	)
	if err != nil {
		return err
	}
	defer s.Close()
	for ctx.Err() == nil {
		if err := s.Begin(); err != nil {
			return err
		}
		for end := time.Now().Add(interval); time.Now().Before(end) && ctx.Err() == nil; {
			wait, cancel := context.WithDeadline(ctx, end)
			fetches := s.PollRecords(wait, 50_000)
			cancel()
			if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) {
				r.Topic = output
				s.Produce(context.Background(), r, nil) // a record that fails makes End abort
			})
		}
		if _, err := s.End(context.Background(), kgo.TryCommit); err != nil {
			return err
		}
	}
	return nil
}

func rusage() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
