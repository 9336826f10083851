package index

import (
	"github.com/cockroachdb/pebble/v2"

	"noecho/internal/invariants"
)

// snapshot is an iterator that nobody moves, and that every reader of the same
// version of the store is cloned from.
//
// Naive: each reader opens an iterator and closes it. But the last iterator of a
// version, when it is closed, takes DB.mu to give up the version's files, and a
// goroutine whose manifest write is just failing holds DB.mu for ever (see
// freeze): a lookup would hang. Closing on another goroutine instead works, but
// Pebble pools its iterators (12 KB each) by processor, and those closed on the
// other one don't come back: an allocation for every batch.
//
// A clone shares the version of its origin. As long as the snapshot is open, no
// close of a clone is the last, and none takes DB.mu. The snapshot itself is
// closed by the closer, once for each change of the store, when the last reader
// has left it.
type snapshot struct {
	it  *pebble.Iterator
	gen uint64 // Index.gen before it was opened
	// refs counts the readers; under Index.snap.
	refs int
}

// acquire clones an iterator of the present state.
func (x *Index) acquire() (*snapshot, *pebble.Iterator, error) {
	x.snap.Lock()
	var old *pebble.Iterator
	// Read before the iterator is opened: a change in between makes it newer
	// than it thinks, and it is replaced once more than needed.
	gen := x.gen.Load()
	if s := x.snap.current; s != nil && s.gen != gen {
		old = x.retireLocked()
	}
	s, it, err := x.cloneLocked(gen)
	x.snap.Unlock()
	x.closeIterator(old)
	return s, it, err
}

func (x *Index) cloneLocked(gen uint64) (*snapshot, *pebble.Iterator, error) {
	if x.snap.current == nil {
		it, err := x.db.NewIter(nil)
		if err != nil {
			return nil, nil, x.wrap(err)
		}
		x.snap.current = &snapshot{it: it, gen: gen}
	}
	s := x.snap.current
	it, err := s.it.Clone(pebble.CloneOptions{})
	if err != nil {
		return nil, nil, x.wrap(err)
	}
	s.refs++
	return s, it, nil
}

// release closes a clone.
func (x *Index) release(s *snapshot, it *pebble.Iterator) {
	_ = it.Close() // its error is that of the last seek, which Get has returned
	x.snap.Lock()
	s.refs--
	invariants.Assert(s.refs >= 0, "snapshot released more often than acquired")
	var old *pebble.Iterator
	if s == x.snap.current && s.gen != x.gen.Load() {
		old = x.retireLocked()
	} else if s != x.snap.current && s.refs == 0 {
		old = s.it
	}
	x.snap.Unlock()
	x.closeIterator(old)
}

// retireLocked makes the current snapshot one of the past. It returns the
// iterator to close, or nil when a reader is left to do that. Needs x.snap,
// which closeIterator must not be called under: the closer takes it too.
func (x *Index) retireLocked() *pebble.Iterator {
	s := x.snap.current
	x.snap.current = nil
	if s == nil || s.refs > 0 {
		return nil
	}
	return s.it
}

// changed says that the store has changed: readers opened from now on see it,
// and the files that only the old snapshot holds can go. It never blocks and
// runs inside of Pebble too.
func (x *Index) changed() {
	x.gen.Add(1)
	select {
	case x.stale <- struct{}{}:
	default: // the closer knows already
	}
}

// closeIterator hands an iterator to the closer; nil is none.
func (x *Index) closeIterator(it *pebble.Iterator) {
	if it == nil {
		return
	}
	select {
	case x.closer <- it:
	case <-x.frozen: // left behind, with the store
	}
}

// closeIterators is the goroutine of the closer. It ends when x.closer is closed,
// or hangs for ever when the store freezes.
func (x *Index) closeIterators() {
	defer close(x.closerDone)
	for {
		select {
		case it, ok := <-x.closer:
			if !ok {
				return
			}
			_ = it.Close() // as in release
		case <-x.stale:
			// Without readers nobody else would let the old files go.
			x.snap.Lock()
			var old *pebble.Iterator
			if s := x.snap.current; s != nil && s.refs == 0 && s.gen != x.gen.Load() {
				old = x.retireLocked()
			}
			x.snap.Unlock()
			if old != nil {
				_ = old.Close()
			}
		}
	}
}
