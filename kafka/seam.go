package kafka

import (
	"context"
	"time"

	"noecho/bloom"
	"noecho/engine"
)

// store and partition are what a member needs of an engine, as interfaces so that tests can put faults between. Their
// contract is that of *engine.Engine and *engine.Partition.
type store interface {
	ID() string
	Window() (window time.Duration, buckets int)
	Partition(topic string, partition int32) (partition, error)
	Coverages() []engine.Coverage
	Hash(key []byte) bloom.Hash
	HashID() (id uint64, shared bool)
}

type partition interface {
	Check(recs []engine.Record, dst []engine.Verdict) ([]engine.Verdict, error)
	CheckMarks(recs []engine.Record, dst []engine.Verdict, marks []engine.Mark) ([]engine.Verdict, []engine.Mark, error)
	TakeIn(marks []engine.Mark) error
	StreamTime() int64
	ForgetHash(h bloom.Hash) error
	Commit(ctx context.Context, next int64) error
	Committed() int64
	Coverage() (start, to int64)
	Forget(key []byte) error
	TakenInBefore(offset int64) (ms int64, ok bool)
	LogID() engine.LogID
	SetLogID(engine.LogID) error
	Close() error
}

type engineStore struct {
	*engine.Engine
	shared *engine.Topic // nil: partitions are on their own
}

func (s engineStore) Partition(topic string, part int32) (partition, error) {
	claim := func() (*engine.Partition, error) { return s.Engine.Partition(topic, part) }
	if s.shared != nil {
		claim = func() (*engine.Partition, error) { return s.shared.Partition(part) }
	}
	p, err := claim()
	if err != nil {
		return nil, err // not p: a nil *engine.Partition in the interface would not be nil
	}
	return p, nil
}
