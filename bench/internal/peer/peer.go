package peer

import (
	"context"
	"slices"
	"time"

	"noecho/bench/internal/workload"
)

// Durability is what holds for a batch when it counts as done.
type Durability string

// The durabilities.
const (
	Synced Durability = "synced" // on stable storage: survives a power failure
	Kernel Durability = "kernel" // handed to the operating system: survives a crash of the process, not of the machine
	Server Durability = "server" // in the memory of another process: survives a crash of the consumer, not of the server
	None   Durability = "none"   // gone with the process
)

// Words says it in a few words.
func (d Durability) Words() string {
	switch d {
	case Synced:
		return "on stable storage"
	case Kernel:
		return "with the kernel: survives a crash of the process, not of the machine"
	case Server:
		return "in the server's memory: survives a crash of the consumer, not of the server"
	}
	return "nowhere: gone with the process"
}

// Config of a store.
type Config struct {
	Dir        string // empty, the peer's own
	Partitions int
	Cold       bool   // the past of the workload must not fit into the tables in memory
	Redis      string // the server's binary; "": found in the path
}

// Kind is one way to use one rival.
type Kind struct {
	Name       string
	Title      string
	Durability Durability
	Note       string // what one must know to read its figures
	InFlight   int    // records that may be started and not waited for; 0: one batch at a time
	Variant    bool   // run on the core workloads only
	Server     bool   // the work is done by another process
	Open       func(context.Context, Config) (Peer, error)
}

// Depth is how many batches of that size may be in flight.
func (k Kind) Depth(batch int) int {
	const most = 4096 // a batch of one record costs the driver a channel operation: a longer queue would only cost memory
	return max(1, min(k.InFlight/batch, most))
}

// Peer is an open store.
type Peer interface {
	// Worker gives the one worker of a partition.
	Worker(partition int32) (Worker, error)
	// Settle returns when what was put off (flushes, compactions) is done, or the context ends.
	Settle(context.Context) error
	// Close closes the store; its workers must be closed before.
	Close() error
}

// Worker judges the records of one partition.
type Worker interface {
	// Start decides a batch, or begins to. The records and their keys are the caller's again when it returns.
	Start([]workload.Record) error
	// Wait returns when the oldest batch that was started and not waited for is decided and as durable as the kind says, with
	// the number of duplicates in it.
	Wait() (duplicates int, err error)
	Close() error
}

// Remote is a peer whose work is done by another process.
type Remote interface {
	PID() int
	Memory() (int64, error) // bytes its data takes, as the server counts
}

// All kinds, in the order of reports. noecho comes first: ratios are to it.
var All = slices.Concat(noechoKinds, redisKinds, pebbleKinds, badgerKinds, bboltKinds, mapKinds, watermillKinds)

// Find returns the kind of that name.
func Find(name string) (Kind, error) {
	i := slices.IndexFunc(All, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, &UnknownError{Name: name}
	}
	return All[i], nil
}

// calm waits until busy has said no for a third of a second: between two compactions there are moments without one.
func calm(ctx context.Context, busy func() bool) error {
	for quiet := 0; quiet < 16; quiet++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if busy() {
			quiet = -1
		}
	}
	return nil
}

// counted is the part of a worker that does everything in Start: it hands the counts over to Wait.
type counted struct{ counts []int }

func (c *counted) push(n int) { c.counts = append(c.counts, n) }

// Wait gives the oldest count. One batch is in flight at a time, so the queue has one place and is never shared.
func (c *counted) Wait() (int, error) {
	n := c.counts[0]
	c.counts = c.counts[:copy(c.counts, c.counts[1:])]
	return n, nil
}
