package peer

import (
	"context"
	"sync"

	"noecho/bench/internal/workload"
)

var mapKinds = []Kind{
	{Name: "map", Title: "mutex and Go map", Durability: None, Open: openMap,
		Note: "the ceiling of what memory can do: nothing is kept, nothing expires; one lock a batch"},
}

// goMap is what everyone writes first.
type goMap struct {
	mu    sync.Mutex
	first map[string]int64 // protected by mu
}

func openMap(context.Context, Config) (Peer, error) { return &goMap{first: map[string]int64{}}, nil }

func (m *goMap) Worker(int32) (Worker, error) { return &mapWorker{m: m}, nil }
func (m *goMap) Settle(context.Context) error { return nil }
func (m *goMap) Close() error                 { return nil }

type mapWorker struct {
	counted
	m *goMap
}

func (w *mapWorker) Start(recs []workload.Record) error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	n := 0
	for i := range recs {
		if _, seen := w.m.first[string(recs[i].Key)]; seen { // the conversion in a lookup costs nothing
			n++
		} else {
			w.m.first[string(recs[i].Key)] = recs[i].Offset
		}
	}
	w.push(n)
	return nil
}

func (w *mapWorker) Close() error { return nil }
