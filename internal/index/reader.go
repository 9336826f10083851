package index

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Reader answers lookups from one snapshot of the index, for one batch: what is
// ingested or dropped after it was opened, it does not see. It keeps the files
// of its snapshot on disk, so it should not stay open between batches.
//
// A Reader belongs to one goroutine (Close of the index may run beside it). It
// is reusable: Close, then Index.ResetReader. Get, Close and ResetReader
// allocate nothing once Pebble's own pools are warm.
type Reader struct {
	x *Index
	// Links of Index.mu.readers, under Index.mu.
	prev, next *Reader

	// mu lets Index.Close take the iterators away from a reader in use.
	mu  sync.Mutex
	of  *snapshot    // nil when closed
	its clones       // of it, those that were needed so far
	key [keyLen]byte // scratch of Get

	seek []byte // scratch of TrailAt
}

var errReaderClosed = errors.New("index: reader is closed")

// Reader opens a new reader. It must be closed.
func (x *Index) Reader() (*Reader, error) {
	r := new(Reader)
	return r, x.ResetReader(r)
}

// ResetReader opens r on the present state of the index, closing it before when
// it is open. r is zero or was made by this index.
func (x *Index) ResetReader(r *Reader) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	if r.x != nil && r.x != x {
		return &InputError{What: "ResetReader", Reason: "the reader belongs to another index"}
	}
	r.x = x
	if err := r.Close(); err != nil {
		return err
	}
	of, err := x.acquire()
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.of = of
	r.mu.Unlock()
	x.mu.Lock()
	head := &x.mu.readers
	r.prev, r.next = head.prev, head
	r.prev.next, r.next.prev = r, r
	x.mu.Unlock()
	return nil
}

// Get returns the offset of a mark; ok is false when there is none.
func (r *Reader) Get(partition uint32, bucket, hi, lo uint64) (offset int64, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how := inMerged
	if r.of != nil && r.x.settler.runs(partition, bucket) > 0 {
		how = inStack
	}
	it, err := r.iterator(how)
	if err != nil {
		return 0, false, err
	}
	putKey(&r.key, partition, bucket, hi, lo)
	// The whole key is its own prefix (DefaultComparer), so this stops at the
	// key: a SeekGE goes on to the next live one, over whatever deleted
	// entries lie between and into the next table.
	if !it.SeekPrefixGE(r.key[:]) {
		return 0, false, r.x.wrap(it.Error())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, false, r.x.wrap(err)
	}
	offset, ok = decodeOffset(value)
	if !ok {
		return 0, false, r.x.badEntry(r.key[:], value)
	}
	return offset, true, nil
}

// iterator returns the reader's iterator of a kind. Needs r.mu.
func (r *Reader) iterator(how kind) (*pebble.Iterator, error) {
	if r.of == nil {
		return nil, r.closedErr()
	}
	if err := r.x.failure(); err != nil {
		return nil, err
	}
	if r.its[how] == nil {
		it, err := r.x.clone(r.of, how)
		if err != nil {
			return nil, err
		}
		r.its[how] = it
	}
	return r.its[how], nil
}

// closedErr tells a closed index from a closed reader. Needs r.mu.
func (r *Reader) closedErr() error {
	if r.x == nil {
		return errReaderClosed
	}
	r.x.mu.Lock()
	closing := r.x.mu.closing
	r.x.mu.Unlock()
	if closing {
		return ErrClosed
	}
	return errReaderClosed
}

// Close releases the snapshot. It is idempotent, and its error is always nil
// today; errors of reading are those of Get.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		return nil
	}
	// Before the reader leaves the list: Index.Close stops the closer once it
	// finds the list empty.
	r.x.release(r.of, &r.its)
	r.of = nil
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	r.prev.next, r.next.prev = r.next, r.prev
	r.prev, r.next = nil, nil
	return nil
}

// closeReaders closes the readers that are still open. Only close, when no call
// is in flight and none is admitted.
func (x *Index) closeReaders() {
	for {
		x.mu.Lock()
		r := x.mu.readers.next
		x.mu.Unlock()
		if r == &x.mu.readers {
			return
		}
		_ = r.Close()
	}
}
