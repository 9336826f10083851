package peer

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"noecho/bench/internal/workload"
)

var badgerKinds = []Kind{
	{Name: "badger", Title: "Badger, as RudderStack", Durability: Kernel, Open: openBadger(false),
		Note: "options and code path of rudder-server's deduplication: one read transaction a key, a TTL on each; writes are not synced, which is its default"},
	{Name: "badger-sync", Title: "Badger, synced", Durability: Synced, Variant: true, Open: openBadger(true),
		Note: "the same with SyncWrites"},
}

// badgerStore does what rudder-server's services/dedup/badger does: keys that were judged and not committed are in a map, Get
// asks the map and then the store, Commit writes the batch in a transaction and takes its keys out of the map.
type badgerStore struct {
	db *badger.DB

	mu    sync.Mutex
	cache map[string]int64 // protected by mu
}

func openBadger(sync bool) func(context.Context, Config) (Peer, error) {
	return func(_ context.Context, c Config) (Peer, error) {
		db, err := badger.Open(badger.DefaultOptions(c.Dir).
			WithCompression(options.None).
			WithIndexCacheSize(16 << 20).
			WithNumGoroutines(1).
			WithNumMemtables(5).
			WithValueThreshold(1 << 20).
			WithBlockCacheSize(0).
			WithNumVersionsToKeep(1).
			WithNumLevelZeroTables(5).
			WithNumLevelZeroTablesStall(15).
			WithSyncWrites(sync).
			WithDetectConflicts(false).
			WithLogger(nil))
		if err != nil {
			return nil, err
		}
		return &badgerStore{db: db, cache: map[string]int64{}}, nil
	}
}

func (s *badgerStore) Worker(int32) (Worker, error) { return &badgerWorker{s: s}, nil }
func (s *badgerStore) Settle(context.Context) error { return nil }
func (s *badgerStore) Close() error                 { return s.db.Close() }

// get reports whether the key is new, and notes it if so.
func (s *badgerStore) get(key string, value int64) (bool, error) {
	s.mu.Lock()
	_, found := s.cache[key]
	s.mu.Unlock()
	if found {
		return false, nil
	}
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(key))
		if err != nil {
			return err
		}
		_, err = item.ValueCopy(nil)
		return err
	})
	if err == nil || !errors.Is(err, badger.ErrKeyNotFound) {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[key] = value
	return true, nil
}

// commit writes the keys.
func (s *badgerStore) commit(keys []string) error {
	values := make([]int64, len(keys))
	s.mu.Lock()
	for i, key := range keys {
		values[i] = s.cache[key]
	}
	s.mu.Unlock()
	txn := s.db.NewTransaction(true)
	for i, key := range keys {
		e := badger.NewEntry([]byte(key), []byte(strconv.FormatInt(values[i], 10))).WithTTL(workload.Window)
		err := txn.SetEntry(e)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err = txn.Commit(); err != nil {
				return err
			}
			txn = s.db.NewTransaction(true)
			err = txn.SetEntry(e)
		}
		if err != nil {
			return err
		}
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.cache, key)
	}
	return nil
}

type badgerWorker struct {
	counted
	s    *badgerStore
	keys []string
}

func (w *badgerWorker) Start(recs []workload.Record) error {
	w.keys = w.keys[:0]
	for i := range recs {
		key := string(recs[i].Key)
		fresh, err := w.s.get(key, recs[i].Offset)
		if err != nil {
			return err
		}
		if fresh {
			w.keys = append(w.keys, key)
		}
	}
	if len(w.keys) > 0 {
		if err := w.s.commit(w.keys); err != nil {
			return err
		}
	}
	w.push(len(recs) - len(w.keys))
	return nil
}

func (w *badgerWorker) Close() error { return nil }
