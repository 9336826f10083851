package index

import (
	"bytes"
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// pokeEvery is how often a waiting WaitL0 looks whether Pebble has gone to
// sleep over its work.
const pokeEvery = time.Second

// WaitL0 returns when at most maxSublevels runs are stacked on each other (values
// below twice mergeDepth count as that: half of it is left alone on purpose, and the
// other half may come while the first is merged). Pebble holds back writers of its
// memtable when L0 grows, but never ingestion: without this call before each
// Ingest, L0 and with it the cost of a lookup grow without bound whenever
// compactions are slower than the input. It ends with ctx, with Close and with
// a failure. While the disk is full it waits: compactions are tried again.
func (x *Index) WaitL0(ctx context.Context, maxSublevels int) error {
	if x.opts.ReadOnly {
		return ErrReadOnly
	}
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	maxSublevels = max(maxSublevels, 2*x.opts.mergeDepth)
	poke := time.NewTicker(pokeEvery)
	defer poke.Stop()
	for {
		// Taken before the look, so that a change in between is not missed.
		x.l0.Lock()
		changed := x.l0.changed
		x.l0.Unlock()
		m, err := x.metrics()
		if err != nil {
			return err
		}
		x.behind.Store(m.L0Sublevels > x.opts.mergeDepth)
		if m.L0Sublevels <= maxSublevels {
			return nil
		}
		select {
		case <-changed:
		case <-poke.C:
			if m.CompactionsActive == 0 {
				err = x.poke()
			}
		case <-ctx.Done():
			err = ctx.Err()
		case <-x.ctx.Done():
			err = ErrClosed
		case <-x.failed:
			err = x.cause
		}
		if err != nil {
			return err
		}
	}
}

// poke makes Pebble look for compactions. It does so by itself after every
// change of the store and every compaction that succeeds, but after one that
// failed (disk full) it sets the range aside for 30 s and then waits for a
// change. The change would be the next Ingest, whose caller is waiting for us.
// So: an excise of a span that no key can be in.
func (x *Index) poke() error {
	start := bytes.Repeat([]byte{0xff}, keyLen+1)
	return x.call(func() error {
		return x.db.Excise(context.Background(), pebble.KeyRange{Start: start, End: append(start, 0xff)})
	})
}

// wakeL0 wakes WaitL0. It runs inside of Pebble.
func (x *Index) wakeL0() {
	x.l0.Lock()
	defer x.l0.Unlock()
	close(x.l0.changed)
	x.l0.changed = make(chan struct{})
}
