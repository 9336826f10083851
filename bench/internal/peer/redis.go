package peer

import (
	"context"

	"noecho/bench/internal/workload"
)

// redisWay is how Redis is used.
type redisWay struct {
	network string // tcp or unix
	pipe    bool   // a batch is one pipeline; else a command waits for the answer to the one before
	always  bool   // appendfsync always
}

const (
	redisMemory = "SET NX EX, offset as value; no persistence: the server's memory only"
	redisSynced = "SET NX EX, offset as value; appendonly yes, appendfsync always: answered when it is on stable storage"
)

var redisKinds = []Kind{
	{Name: "redis-tcp", Title: "Redis single, TCP", Durability: Server, Server: true, Open: openRedis(redisWay{network: "tcp"}),
		Note: redisMemory + "; a command a record over loopback"},
	{Name: "redis-unix", Title: "Redis single, unix", Durability: Server, Server: true, Variant: true, Open: openRedis(redisWay{network: "unix"}),
		Note: redisMemory + "; a command a record"},
	{Name: "redis-always", Title: "Redis single, AOF", Durability: Synced, Server: true, Variant: true, Open: openRedis(redisWay{network: "tcp", always: true}),
		Note: redisSynced + "; a command a record over loopback"},
	{Name: "redis-pipe", Title: "Redis pipe, TCP", Durability: Server, Server: true, Open: openRedis(redisWay{network: "tcp", pipe: true}),
		Note: redisMemory + "; a batch is a pipeline, its answers are awaited"},
	{Name: "redis-pipe-unix", Title: "Redis pipe, unix", Durability: Server, Server: true, Variant: true, Open: openRedis(redisWay{network: "unix", pipe: true}),
		Note: redisMemory + "; a batch is a pipeline, its answers are awaited"},
	{Name: "redis-ahead", Title: "Redis pipes ahead, unix", Durability: Server, Server: true, Variant: true, InFlight: inFlight, Open: openRedis(redisWay{network: "unix", pipe: true}),
		Note: redisMemory + "; the next pipelines are sent while answers are awaited, as many records in flight as noecho has"},
	{Name: "redis-pipe-always", Title: "Redis pipe, AOF", Durability: Synced, Server: true, Open: openRedis(redisWay{network: "tcp", pipe: true, always: true}),
		Note: redisSynced + "; a batch is a pipeline, its answers are awaited"},
}

type redisStore struct {
	*redisServer
	way redisWay
}

func openRedis(way redisWay) func(context.Context, Config) (Peer, error) {
	return func(ctx context.Context, c Config) (Peer, error) {
		s, err := startRedis(ctx, c.Redis, c.Dir, way.always)
		if err != nil {
			return nil, err
		}
		return &redisStore{s, way}, nil
	}
}

// Worker makes a connection: one a partition.
func (s *redisStore) Worker(int32) (Worker, error) {
	address := s.tcp
	if s.way.network == "unix" {
		address = s.socket
	}
	c, err := dialRedis(s.way.network, address)
	if err != nil {
		return nil, err
	}
	if s.way.pipe {
		return &redisPipe{c: c, sent: make(chan int, inFlight)}, nil
	}
	return &redisSingle{c: c}, nil
}

func (s *redisStore) Settle(context.Context) error { return nil }
func (s *redisStore) Close() error                 { return s.stop() }

// PID of the server.
func (s *redisStore) PID() int { return s.cmd.Process.Pid }

// Memory that the data takes, by INFO's used_memory.
func (s *redisStore) Memory() (int64, error) { return s.control.info("memory", "used_memory") }

// redisPipe sends a batch as one pipeline in Start and reads its answers in Wait.
type redisPipe struct {
	c    *resp
	sent chan int
}

func (w *redisPipe) Start(recs []workload.Record) error {
	for i := range recs {
		w.c.set(recs[i].Key, recs[i].Offset)
	}
	if err := w.c.flush(); err != nil {
		return err
	}
	w.sent <- len(recs)
	return nil
}

func (w *redisPipe) Wait() (int, error) { return w.c.replies(<-w.sent) }
func (w *redisPipe) Close() error       { return w.c.close() }

// redisSingle waits for each answer.
type redisSingle struct {
	counted
	c *resp
}

func (w *redisSingle) Start(recs []workload.Record) error {
	duplicates := 0
	for i := range recs {
		w.c.set(recs[i].Key, recs[i].Offset)
		if err := w.c.flush(); err != nil {
			return err
		}
		n, err := w.c.replies(1)
		if err != nil {
			return err
		}
		duplicates += n
	}
	w.push(duplicates)
	return nil
}

func (w *redisSingle) Close() error { return w.c.close() }
