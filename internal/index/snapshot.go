package index

import (
	"github.com/cockroachdb/pebble/v2"

	"noecho/internal/invariants"
)

// snapshot is an iterator that nobody moves, and that those of every reader of the same
// version of the store are cloned from.
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
//
// Clones that readers give back are kept for the next ones. A lookup opens a
// table of each run that is stacked up in its bucket, dozens of them, and a clone
// remembers them: a new one for each batch would open all of them each time.
type snapshot struct {
	it  *pebble.Iterator
	gen uint64 // Index.gen before it was opened
	// Under Index.snap:
	refs int                       // readers
	idle [kinds][]*pebble.Iterator // clones without a reader
}

// kind of a clone, by the buckets that are looked up with it.
//
// What a clone has opened it asks from then on, for every key: a lookup in a stack of thirty runs
// opens thirty tables, and each lookup after it, in whatever bucket, would ask their
// filters, a line of memory each, though it is plain that they have nothing of
// that bucket. (Bounds on the iterator would close them, to be opened again by the next
// lookup in the stack.) So lookups in buckets that are merged, most of them, have clones of their own. The trail is read with those of stacks.
type kind int

const (
	inMerged kind = iota
	inStack
	kinds
)

// clones that a reader has, by kind; nil: none.
type clones [kinds]*pebble.Iterator

// maxIdle bounds the clones of a kind that are kept: as many batches as run at once, and the goroutines that look up ahead for them.
const maxIdle = 16

// acquire returns the snapshot of the present state, to be given back by release.
func (x *Index) acquire() (*snapshot, error) {
	x.snap.Lock()
	var old *snapshot
	// Read before the iterator is opened: a change in between makes it newer
	// than it thinks, and it is replaced once more than needed.
	gen := x.gen.Load()
	if s := x.snap.current; s != nil && s.gen != gen {
		old = x.retireLocked()
	}
	s, err := x.currentLocked(gen)
	x.snap.Unlock()
	x.closeSnapshot(old)
	return s, err
}

func (x *Index) currentLocked(gen uint64) (*snapshot, error) {
	if x.snap.current == nil {
		it, err := x.db.NewIter(nil)
		if err != nil {
			return nil, x.wrap(err)
		}
		x.snap.current = &snapshot{it: it, gen: gen}
	}
	s := x.snap.current
	s.refs++
	return s, nil
}

// clone returns an iterator of a snapshot that was acquired.
func (x *Index) clone(s *snapshot, how kind) (*pebble.Iterator, error) {
	x.snap.Lock()
	defer x.snap.Unlock()
	if n := len(s.idle[how]); n > 0 {
		it := s.idle[how][n-1]
		s.idle[how] = s.idle[how][:n-1]
		return it, nil
	}
	it, err := s.it.Clone(pebble.CloneOptions{})
	return it, x.wrap(err)
}

// release takes clones and their snapshot back: for the next reader, or to close them.
func (x *Index) release(s *snapshot, its *clones) {
	x.snap.Lock()
	if s == x.snap.current && s.gen == x.gen.Load() {
		for how, it := range its {
			// One that has met an error is not used again.
			if it != nil && len(s.idle[how]) < maxIdle && it.Error() == nil {
				s.idle[how] = append(s.idle[how], it)
				its[how] = nil
			}
		}
	}
	x.snap.Unlock()
	for how, it := range its {
		if it != nil {
			_ = it.Close() // its error is that of the last seek, which Get has returned
			its[how] = nil
		}
	}
	x.snap.Lock()
	s.leaveLocked() // after Close: the snapshot must outlive its clones
	var old *snapshot
	if s == x.snap.current && s.gen != x.gen.Load() {
		old = x.retireLocked()
	} else if s != x.snap.current && s.refs == 0 {
		old = s
	}
	x.snap.Unlock()
	x.closeSnapshot(old)
}

func (s *snapshot) leaveLocked() {
	s.refs--
	invariants.Assert(s.refs >= 0, "snapshot released more often than acquired")
}

// retireLocked makes the current snapshot one of the past. It returns the one to
// close, or nil when a reader is left to do that. Needs x.snap, which
// closeSnapshot must not be called under: the closer takes it too.
func (x *Index) retireLocked() *snapshot {
	s := x.snap.current
	x.snap.current = nil
	if s == nil || s.refs > 0 {
		return nil
	}
	return s
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

// closeIterator hands an iterator to the closer.
func (x *Index) closeIterator(it *pebble.Iterator) { x.closeSnapshot(&snapshot{it: it}) }

// closeSnapshot hands a snapshot to the closer; nil is none.
func (x *Index) closeSnapshot(s *snapshot) {
	if s == nil {
		return
	}
	select {
	case x.closer <- s:
	case <-x.frozen: // left behind, with the store
	}
}

// close closes the clones and then what they were cloned from. Only the closer.
func (s *snapshot) close() {
	for _, its := range s.idle {
		for _, it := range its {
			_ = it.Close() // as in release
		}
	}
	_ = s.it.Close()
}

// closeIterators is the goroutine of the closer. It ends when x.closer is closed,
// or hangs for ever when the store freezes.
func (x *Index) closeIterators() {
	defer close(x.closerDone)
	for {
		select {
		case s, ok := <-x.closer:
			if !ok {
				return
			}
			s.close()
		case <-x.stale:
			// Without readers nobody else would let the old files go.
			x.snap.Lock()
			var old *snapshot
			if s := x.snap.current; s != nil && s.refs == 0 && s.gen != x.gen.Load() {
				old = x.retireLocked()
			}
			x.snap.Unlock()
			if old != nil {
				old.close()
			}
		}
	}
}
