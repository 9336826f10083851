package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"noecho/bench/internal/workload"
)

var pebbleKinds = []Kind{
	{Name: "pebble", Title: "Pebble, naive", Durability: Synced, Open: openPebble,
		Note: "Get a key, Set into a batch, Commit(Sync) a batch; Bloom filters on all levels, memtables of 64 MiB, cache of 256 MiB"},
}

// pebbleStore is Pebble as a careful user would set it up: every value below is larger or better than its default.
type pebbleStore struct{ db *pebble.DB }

func openPebble(_ context.Context, c Config) (Peer, error) {
	cache := pebble.NewCache(256 << 20) // what noecho has for its tables
	defer cache.Unref()
	o := &pebble.Options{
		Cache:                       cache,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		BytesPerSync:                512 << 10,
		Logger:                      quiet{},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(c.Dir, o)
	if err != nil {
		return nil, err
	}
	return &pebbleStore{db}, nil
}

func (s *pebbleStore) Worker(int32) (Worker, error) {
	return &pebbleWorker{db: s.db, batch: s.db.NewBatch(), seen: map[string]struct{}{}}, nil
}

// Settle waits for compactions that are due.
func (s *pebbleStore) Settle(ctx context.Context) error {
	if err := s.db.Flush(); err != nil {
		return err
	}
	return calm(ctx, func() bool { return s.db.Metrics().Compact.NumInProgress > 0 })
}

func (s *pebbleStore) Close() error { return s.db.Close() }

type pebbleWorker struct {
	counted
	db    *pebble.DB
	batch *pebble.Batch
	// seen are the keys of this batch. An indexed batch would find them, too, for a skip list's price.
	seen map[string]struct{}
}

func (w *pebbleWorker) Start(recs []workload.Record) error {
	n := 0
	var value [8]byte
	for i := range recs {
		key := recs[i].Key
		if _, seen := w.seen[string(key)]; seen {
			n++
			continue
		}
		_, closer, err := w.db.Get(key)
		if err == nil {
			n++
			_ = closer.Close()
			continue
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		binary.BigEndian.PutUint64(value[:], uint64(recs[i].Offset))
		if err := w.batch.Set(key, value[:], nil); err != nil {
			return err
		}
		w.seen[unsafe.String(&key[0], len(key))] = struct{}{} // emptied before the caller has its keys back
	}
	clear(w.seen)
	if !w.batch.Empty() {
		if err := w.batch.Commit(pebble.Sync); err != nil {
			return err
		}
	}
	w.batch.Reset()
	w.push(n)
	return nil
}

func (w *pebbleWorker) Close() error { return w.batch.Close() }

// quiet drops what the stores would log.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic("pebble: " + format)
}
