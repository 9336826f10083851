package peer

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"strconv"

	"go.etcd.io/bbolt"

	"noecho/bench/internal/workload"
)

var bboltKinds = []Kind{
	{Name: "bbolt", Title: "bbolt", Durability: Synced, Open: openBbolt,
		Note: "one transaction a batch, a bucket a partition, a hash map for the free list; nothing expires"},
}

type bboltStore struct{ db *bbolt.DB }

func openBbolt(_ context.Context, c Config) (Peer, error) {
	db, err := bbolt.Open(filepath.Join(c.Dir, "bolt.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	return &bboltStore{db}, nil
}

func (s *bboltStore) Worker(partition int32) (Worker, error) {
	w := &bboltWorker{db: s.db, bucket: strconv.AppendInt(nil, int64(partition), 10)}
	return w, s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(w.bucket)
		return err
	})
}

func (s *bboltStore) Settle(context.Context) error { return nil }
func (s *bboltStore) Close() error                 { return s.db.Close() }

type bboltWorker struct {
	counted
	db     *bbolt.DB
	bucket []byte
}

func (w *bboltWorker) Start(recs []workload.Record) error {
	n := 0
	err := w.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(w.bucket)
		values := make([]byte, 8*len(recs)) // bbolt keeps values until the transaction ends
		for i := range recs {
			if b.Get(recs[i].Key) != nil {
				n++
				continue
			}
			v := values[8*i : 8*i+8]
			binary.BigEndian.PutUint64(v, uint64(recs[i].Offset))
			if err := b.Put(recs[i].Key, v); err != nil {
				return err
			}
		}
		return nil
	})
	w.push(n)
	return err
}

func (w *bboltWorker) Close() error { return nil }
