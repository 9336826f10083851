package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/internal/invariants"
)

// Index is an exact, ordered map from (partition, bucket, hash) to offset on
// disk. All methods may be called from any goroutine.
type Index struct {
	// Immutable after Open.
	dir       string
	tmpDir    string // tables on their way in
	opts      Options
	fs        vfs.FS // for our own tables: its errors come back to us
	gate      *gate  // for Pebble
	db        *pebble.DB
	tableOpts sstable.WriterOptions
	tableSize uint64          // where Ingest splits: tableBytes, less in tests
	ctx       context.Context // cancelled when Close begins

	// writer is a semaphore of one: Ingest, DropBuckets and DropPartition are
	// one after the other. Its holder owns nextTable.
	writer    chan struct{}
	nextTable uint64

	// Written once, before failed or frozen is closed.
	failOnce   sync.Once
	failed     chan struct{}
	cause      error
	freezeOnce sync.Once
	frozen     chan struct{}

	// The snapshot that readers are cloned from; see snapshot.
	snap struct {
		sync.Mutex
		current *snapshot // nil, or open
	}
	gen        atomic.Uint64  // changes of the store
	closer     chan *snapshot // snapshots that are done with
	stale      chan struct{}  // a token when gen has changed
	closerDone chan struct{}

	settler *settler // immutable; see there

	// sealing is not nil while an Ingest writes its tables, and closed when it has
	// written them; behind says that merges must not wait for that. See pace.
	sealing atomic.Pointer[chan struct{}]
	behind  atomic.Bool

	// L0 changes: see WaitL0.
	l0 struct {
		sync.Mutex
		changed chan struct{} // closed and replaced at each change
	}
	backgroundErrors atomic.Uint64
	trails           atomic.Bool // a trail was stored, in this life or before
	backgroundPause  atomic.Bool // the last compaction failed: see pauseAfterError

	// Admission of calls, and the readers that are open.
	mu struct {
		sync.Mutex
		closing bool
		active  int           // calls that entered and have not left
		idle    chan struct{} // made by Close; closed when active falls to 0
		readers Reader        // list head of open readers
	}
	stop      context.CancelFunc
	closeOnce sync.Once
	closeErr  error
}

const (
	tmpDirName  = "ingest-tmp"
	closerQueue = 16 // snapshots waiting to be closed
)

// Open opens the index in dir, making both when they do not exist. What an
// earlier process left half ingested is removed. Pebble locks dir, but what is
// read and noted about its manifest happens outside of that lock: a caller that
// may meet another process holds a lock of its own around Open and Close.
func Open(dir string, o Options) (*Index, error) {
	o = o.withDefaults()
	x := &Index{
		dir:        dir,
		tmpDir:     o.FS.PathJoin(dir, tmpDirName),
		opts:       o,
		tableSize:  tableBytes,
		fs:         o.FS,
		writer:     make(chan struct{}, 1),
		failed:     make(chan struct{}),
		frozen:     make(chan struct{}),
		closer:     make(chan *snapshot, closerQueue),
		stale:      make(chan struct{}, 1),
		closerDone: make(chan struct{}),
		settler:    newSettler(o.mergeDepth),
	}
	x.gate = newGate(o.FS, x.freeze, x.pauseAfterError, x.pace)
	x.ctx, x.stop = context.WithCancel(context.Background())
	x.l0.changed = make(chan struct{})
	x.mu.readers.prev, x.mu.readers.next = &x.mu.readers, &x.mu.readers

	if err := x.checkManifest(); err != nil {
		x.stop()
		return nil, fmt.Errorf("open: %w", err)
	}
	p := x.pebbleOptions()
	err := x.call(func() (err error) {
		x.db, err = pebble.Open(dir, p)
		return err
	})
	if err != nil {
		x.stop()
		return nil, errors.Join(fmt.Errorf("open: %w", err), x.abandon())
	}
	// Options of level 0, although most tables go straight to L6: those of L6
	// mark a Delete as obsolete from birth (nothing lies below it), and when
	// the table lands in L0 after all, reads skip the Delete and the forgotten
	// mark is back.
	x.tableOpts = p.MakeWriterOptions(0, x.db.TableFormat())
	go x.closeIterators()
	err = errors.Join(x.cleanTmp(), x.findTrails())
	if err == nil && !x.opts.ReadOnly {
		err = x.survey()
	}
	go x.settle()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open: %w", err), x.Close())
	}
	return x, nil
}

// cleanTmp makes an empty directory for the tables of Ingest.
func (x *Index) cleanTmp() error {
	if x.opts.ReadOnly {
		return nil
	}
	if err := x.fs.RemoveAll(x.tmpDir); err != nil {
		return fmt.Errorf("cannot remove %q: %w", x.tmpDir, err)
	}
	if err := x.fs.MkdirAll(x.tmpDir, 0o755); err != nil {
		return fmt.Errorf("cannot make %q: %w", x.tmpDir, err)
	}
	return nil
}

// enter admits a call, which must leave. It fails when the index is closed or
// has failed.
func (x *Index) enter() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.closing {
		return ErrClosed
	}
	if err := x.failure(); err != nil {
		return err
	}
	x.mu.active++
	return nil
}

// enterWrite is enter for calls that change the index; leaveWrite ends it.
func (x *Index) enterWrite(ctx context.Context) error {
	if x.opts.ReadOnly {
		return ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := x.enter(); err != nil {
		return err
	}
	select {
	case x.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		x.leave()
		return ctx.Err()
	case <-x.ctx.Done():
		x.leave()
		return ErrClosed
	}
}

func (x *Index) leaveWrite() {
	<-x.writer
	x.leave()
}

func (x *Index) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.active--
	invariants.Assert(x.mu.active >= 0, "a call left that had not entered")
	if x.mu.active == 0 && x.mu.idle != nil {
		close(x.mu.idle)
		x.mu.idle = nil
	}
}

// Close ends waiting calls with ErrClosed, waits for the others, closes the
// readers that are still open and then the store. Calls after it return
// ErrClosed; further calls of Close return what the first did. It must not be
// called from within a callback of Scan or EachMeta. After a failure it returns
// the *FailedError; the directory can be opened again.
func (x *Index) Close() error {
	x.closeOnce.Do(func() { x.closeErr = x.close() })
	return x.closeErr
}

func (x *Index) close() error {
	x.mu.Lock()
	x.mu.closing = true
	var idle chan struct{}
	if x.mu.active > 0 {
		idle = make(chan struct{})
		x.mu.idle = idle
	}
	x.mu.Unlock()
	x.stop()
	if idle != nil {
		<-idle
	}
	x.closeReaders()
	x.snap.Lock()
	last := x.retireLocked()
	x.snap.Unlock()
	x.closeSnapshot(last)
	close(x.closer)
	select {
	case <-x.closerDone:
	case <-x.frozen:
	}
	<-x.settler.done
	err := x.call(x.db.Close)
	if err == nil && x.failure() == nil && !x.opts.ReadOnly {
		if err := x.noteManifest(); err != nil {
			// Nothing is lost: the next Open checks less.
			x.opts.Logger.Warn("index: cannot note the manifest's checksum", "dir", x.dir, "err", err)
		}
	}
	// A failure may come from db.Close itself, so it is looked at last.
	return errors.Join(x.failure(), notFailure(err), x.abandon())
}

// notFailure drops the *FailedError that call returns for a frozen store.
func notFailure(err error) error {
	if f := (*FailedError)(nil); errors.As(err, &f) {
		return nil
	}
	return err
}

// abandon gives the directory up if Pebble has frozen, and so never will.
func (x *Index) abandon() error {
	select {
	case <-x.frozen:
		return x.gate.release()
	default:
		return nil
	}
}

// newTable creates the next table of an Ingest. Only the holder of x.writer.
func (x *Index) newTable(filter bool) (path string, w sstable.RawWriter, err error) {
	x.nextTable++
	path = x.fs.PathJoin(x.tmpDir, fmt.Sprintf("%06d%s", x.nextTable, tableSuffix))
	f, err := x.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return path, nil, fmt.Errorf("cannot create %q: %w", path, err)
	}
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: bytesPerSync})
	o := x.tableOpts
	if !filter {
		o.FilterPolicy = pebble.NoFilterPolicy
	}
	return path, sstable.NewRawWriter(objstorageprovider.NewFileWritable(f), o), nil
}
