package peer

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"noecho/bench/internal/workload"
)

var watermillKinds = []Kind{
	{Name: "watermill", Title: "Watermill Deduplicator", Durability: None, Open: openWatermill,
		Note: "its map repository, in memory; keyed by the payload itself, because its default, Adler-32, takes different messages for copies"},
}

type watermillStore struct{ d *middleware.Deduplicator }

func openWatermill(context.Context, Config) (Peer, error) {
	r, err := middleware.NewMapExpiringKeyRepository(workload.Window)
	if err != nil {
		return nil, err
	}
	return &watermillStore{&middleware.Deduplicator{
		KeyFactory: func(m *message.Message) (string, error) { return string(m.Payload), nil },
		Repository: r,
		Timeout:    time.Minute,
	}}, nil
}

func (s *watermillStore) Worker(int32) (Worker, error) {
	return &watermillWorker{d: s.d, m: message.NewMessage("", nil)}, nil
}
func (s *watermillStore) Settle(context.Context) error { return nil }
func (s *watermillStore) Close() error                 { return nil }

// watermillWorker uses one message for all records: a consumer has its messages already, so making them is not what is
// measured.
type watermillWorker struct {
	counted
	d *middleware.Deduplicator
	m *message.Message
}

func (w *watermillWorker) Start(recs []workload.Record) error {
	n := 0
	for i := range recs {
		w.m.Payload = recs[i].Key
		copied, err := w.d.IsDuplicate(w.m)
		if err != nil {
			return err
		}
		if copied {
			n++
		}
	}
	w.push(n)
	return nil
}

func (w *watermillWorker) Close() error { return nil }
