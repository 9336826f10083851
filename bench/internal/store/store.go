package store

import (
	"context"
	"path/filepath"
	"time"

	"noecho/bench/internal/cell"
	"noecho/bench/internal/child"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/usage"
	"noecho/bench/internal/workload"
	"noecho/engine"
)

// Spec of a store.
type Spec struct {
	Dir  string
	Keys int64 // planned: stream time runs through 1.1 windows with so many
	// Storm is how many old records come again, in three stretches of the past.
	Storm int64
	// Expected is how many keys a window is said to get; 0: nothing is said.
	Expected int64
}

// bytesPerKey is what must be free on disk for a key: the index, what a compaction writes before it removes the old
// files, and the saved filter.
const (
	bytesPerKey = 30
	bytesSlack  = 2 << 30
)

// Room returns a *SpaceError when the directory's file system is too small for so many keys.
func Room(dir string, keys int64) error {
	free, err := usage.Free(dir)
	if err != nil {
		return err
	}
	if need := keys*bytesPerKey + bytesSlack; need > free {
		return &SpaceError{Dir: dir, Keys: keys, Need: need, Free: free}
	}
	return nil
}

// fresh is the workload of every store: new keys of 16 bytes in batches of 1024.
func fresh() workload.Workload {
	w, _ := workload.Find("new")
	return w
}

// handle is an open store.
type handle struct {
	spec   Spec
	peer   *peer.Noecho
	part   *engine.Partition
	worker peer.Worker
	source *workload.Source
}

func open(spec Spec) (*handle, error) {
	o := peer.Options()
	if o.ExpectedKeys = spec.Expected; spec.Expected > 0 {
		// As docs/operations.md says: a byte for each key of a bucket.
		o.CacheBytes = max(128<<20, spec.Expected/6)
	}
	o.Trail = true // the storm is what it is for; what it costs is told apart
	p, err := peer.OpenNoecho(spec.Dir, o)
	if err != nil {
		return nil, err
	}
	part, err := p.Engine.Partition("bench", 0)
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	h := &handle{spec: spec, peer: p, part: part, worker: peer.NewNoechoWorker(part, true), source: fresh().NewSource(0, spec.Keys)}
	_, to := part.Coverage()
	h.source.At(to)
	return h, nil
}

// drive runs records through the store, durably and pipelined.
func (h *handle) drive(ctx context.Context, fill cell.Fill, records int64, tell func(int64, time.Duration)) (cell.Phase, error) {
	k, err := peer.Find("noecho")
	if err != nil {
		return cell.Phase{}, err
	}
	d := cell.Drive{Kind: k, Workload: fresh(), Workers: []peer.Worker{h.worker}, Sources: []*workload.Source{h.source},
		Fill: fill, Records: records, Tell: tell}
	return d.Run(ctx)
}

// settle waits, for as long as it takes, until compactions are done.
func (h *handle) settle(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	err := h.peer.Settle(ctx)
	return time.Since(begin), err
}

// close gives the partition back and closes the store cleanly.
func (h *handle) close() error {
	err := h.worker.Close()
	if e := h.peer.Close(); err == nil {
		err = e
	}
	return err
}

// storm replays the past: in three stretches, a copy of each record in the order they came. It returns the rate of each.
func (h *handle) storm(ctx context.Context, tell func(child.Progress)) (rates []float64, err error) {
	const stretches = 3
	n := min(h.spec.Storm/stretches, h.spec.Keys/4)
	for i := range int64(stretches) {
		from := uint64(h.spec.Keys / 4 * i)
		// Owners are looked at behind the stretch, so that nothing of it is in a cache when the clock starts.
		if err := h.answers([]uint64{from + uint64(n)}); err != nil {
			return nil, err
		}
		at := from
		again := func(s *workload.Source, b *workload.Batch, n int) {
			s.Again(b, at, n)
			at += uint64(n)
		}
		p, err := h.drive(ctx, again, n, func(done int64, _ time.Duration) {
			tell(child.Progress{Done: (float64(i) + float64(done)/float64(n)) / stretches, Note: "replay storm"})
		})
		if err != nil {
			return nil, err
		}
		rates = append(rates, float64(p.Records)/p.Elapsed.Seconds())
	}
	return rates, nil
}

// parts are the bytes on disk of the store's directories.
func parts(dir string) (index, log, filters int64) {
	return usage.Disk(filepath.Join(dir, "index")), usage.Disk(filepath.Join(dir, "wal")), usage.Disk(filepath.Join(dir, "filters"))
}
