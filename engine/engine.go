package engine

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"noecho/internal/index"
	"noecho/wal"
)

// Engine is the deduplication state of many partitions in one data directory. Safe for concurrent use.
type Engine struct {
	// Immutable after Open.
	dir    string
	opt    Options
	logger *slog.Logger
	header header
	hash   hasher
	delta  int64 // milliseconds a bucket
	lock   io.Closer
	index  *index.Index
	log    *wal.Log
	pool   *tableMemory
	trails *trailMemory

	kick       chan struct{} // capacity 1: there may be work for the keeper
	stop       chan struct{} // closed by Close
	keeperDone chan struct{}

	syncKick   chan struct{} // capacity 1: there is something to sync
	syncerDone chan struct{}

	planterKick chan struct{} // capacity 1: there may be work for the planter
	planterDone chan struct{}

	rereads chan struct{} // capacity rereadsAtOnce: a turn each

	aheads    chan *ahead // unbuffered: what no worker takes at once, the caller does
	aheadOnce sync.Once
	aheadDone sync.WaitGroup

	keeperMu  sync.Mutex // held by whoever does the keeper's work; before mu and every shard.mu
	sealOrder uint64     // under keeperMu

	poison atomic.Pointer[PoisonedError] // set once
	closed atomic.Bool
	full   atomic.Bool // OnFull=Fail and over the limit; set by the keeper
	shares atomic.Bool // some topic's marks are shared: see Topic

	unsealed    atomic.Int64  // bytes of frozen tables that are not in the index; written by shards and the keeper
	keys        atomic.Int64  // marks of all live buckets
	maxTable    atomic.Int64  // marks a table takes; recomputed when the number of partitions changes
	memory      atomic.Int64  // bytes the tables may take; recomputed with it
	shrunk      atomic.Uint64 // buckets dropped early
	seals       atomic.Uint64
	sealedMarks atomic.Uint64

	lastClockLog atomic.Int64 // unix milliseconds of the last line about a clock; 0: none
	sinceRound   atomic.Int64 // bytes logged since the keeper was last woken for them

	roomMu sync.Mutex
	room   sync.Cond // on roomMu: a table was sealed, or the engine failed or was closed

	mu     sync.Mutex
	parts  map[partitionName]*shard // protected by mu
	byID   map[uint32]*shard        // protected by mu
	list   []*shard                 // by id, ascending; replaced, never changed; protected by mu
	nextID uint32                   // protected by mu

	halfDropped []uint32 // ids whose Drop a crash cut short; used by Open only
}

type partitionName struct {
	topic     string
	partition int32
}

// Open opens the store in dir, or makes one, and recovers its state: coverage and boundaries from the index, then the
// log from there. Errors: ErrLocked, *OptionsError, *IncompatibleError, *HeaderError, *StateError, *wal.CorruptionError,
// or one of the file system's.
func Open(dir string, o Options) (*Engine, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		dir: dir, opt: o, logger: o.Logger,
		delta: o.Window.Milliseconds() / int64(o.Buckets),
		pool:  newTableMemory(), trails: newTrailMemory(),
		kick: make(chan struct{}, 1), stop: make(chan struct{}), keeperDone: make(chan struct{}),
		syncKick: make(chan struct{}, 1), syncerDone: make(chan struct{}),
		planterKick: make(chan struct{}, 1), planterDone: make(chan struct{}),
		aheads: make(chan *ahead), rereads: make(chan struct{}, rereadsAtOnce),
		parts: map[partitionName]*shard{}, byID: map[uint32]*shard{}, nextID: 1,
	}
	e.room.L = &e.roomMu
	e.sizeTables(0)
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.release())
	}
	go e.keep()
	go e.plantTables()
	go e.syncLog()
	e.wake()
	return e, nil
}

func (e *Engine) open() error {
	fs := e.opt.FS
	if err := makeDir(fs, fs.PathJoin(e.dir, filterDir)); err != nil {
		return fmt.Errorf("engine: making the data directory: %w", err)
	}
	lock, err := lockDir(fs, e.dir)
	if err != nil {
		return err
	}
	e.lock = lock
	if err := e.openHeader(); err != nil {
		return err
	}
	if e.index, err = index.Open(fs.PathJoin(e.dir, indexDir), index.Options{
		FS: fs, Logger: e.logger, CacheBytes: e.opt.CacheBytes,
		OnFatal: func(err error) { _ = e.fail(err) }, OnMerged: e.sow,
	}); err != nil {
		return fmt.Errorf("engine: opening the index: %w", err)
	}
	if err := e.loadShards(); err != nil {
		return err
	}
	if err := e.recover(); err != nil {
		return err
	}
	return e.sweepPlanes()
}

// openHeader reads the header, or writes one where the directory is new.
func (e *Engine) openHeader() error {
	h, ok, err := readHeader(e.opt.FS, e.dir)
	if err != nil {
		return err
	}
	if !ok {
		if h, err = newHeader(&e.opt); err != nil {
			return err
		}
		if err := writeHeader(e.opt.FS, e.dir, h); err != nil {
			return err
		}
	} else if err := h.compatible(e.dir, &e.opt); err != nil {
		return err
	}
	e.header = h
	seed, err := hex.DecodeString(h.Seed)
	if err != nil {
		return err
	}
	e.hash = newHasher(h.Hash, seed)
	return nil
}

// Partition claims a partition: there is one open handle of it at a time.
func (e *Engine) Partition(topic string, partition int32) (*Partition, error) {
	if err := e.healthy(); err != nil {
		return nil, err
	}
	s, err := e.shard(topic, partition)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claimed {
		return nil, fmt.Errorf("%w (%s/%d)", ErrClaimed, topic, partition)
	}
	if err := e.healthy(); err != nil {
		return nil, err // Close stops the rebuilds with this lock held: none may begin after it
	}
	s.claimed = true
	s.attachFilter()
	return &Partition{s: s}, nil
}

// shard finds or makes the state of a partition. A new one is durable before it is used, because the log knows
// partitions by their id only.
func (e *Engine) shard(topic string, partition int32) (*shard, error) {
	if s := e.known(topic, partition); s != nil {
		return s, nil // does not wait for a seal in progress
	}
	e.keeperMu.Lock()
	defer e.keeperMu.Unlock()
	if s := e.known(topic, partition); s != nil {
		return s, nil
	}
	e.mu.Lock()
	id := e.nextID
	e.mu.Unlock()
	s := newShard(e, id, topic, partition)
	metas := []index.Meta{
		{Key: nextIDKey, Value: binary.BigEndian.AppendUint32(nil, id+1)},
		{Key: partitionKey(id), Value: s.appendMeta(nil)},
	}
	if err := e.index.Ingest(context.Background(), nil, metas); err != nil {
		return nil, e.fail(err)
	}
	e.mu.Lock()
	e.nextID = id + 1
	e.addLocked(s)
	e.mu.Unlock()
	return s, nil
}

// known finds the state of a partition; nil when there is none.
func (e *Engine) known(topic string, partition int32) *shard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.parts[partitionName{topic, partition}]
}

// addLocked puts a shard into the maps and sizes the tables anew. Called with mu held.
func (e *Engine) addLocked(s *shard) {
	e.parts[partitionName{s.topic, s.partition}] = s
	e.byID[s.id] = s
	e.list = append(e.list[:len(e.list):len(e.list)], s)
	e.sizeTables(len(e.list))
}

// minPages is what a partition may have of the memory whatever MemoryBytes says: with less, a store of too many
// partitions would do nothing but seal tables of a few marks.
const minPages = 4

// sizeTables: a quarter of the budget is for active tables, a mark takes about 40 bytes, and a table
// above a million marks gains nothing. MaxKeys must not be overshot by what is not sealed yet.
func (e *Engine) sizeTables(partitions int) {
	partitions = max(partitions, 1)
	e.memory.Store(max(e.opt.MemoryBytes, int64(partitions)*minPages*pageBytes))
	n := int64(e.opt.TableKeys)
	if n == 0 {
		mark := int64(40)
		if e.opt.Trail {
			mark += trailMarkBytes
		}
		n = min(max(e.opt.MemoryBytes/4/mark/int64(partitions), 4<<10), 1<<20)
	}
	if e.opt.MaxKeys > 0 {
		n = min(n, max(e.opt.MaxKeys/8/int64(partitions), 1))
	}
	e.maxTable.Store(n)
}

func (e *Engine) tableLimit() int { return int(e.maxTable.Load()) }

// shards returns all shards by ascending id. The slice must not be changed.
func (e *Engine) shards() []*shard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list
}

// ID is the random name of the store, hex, the same for its whole life.
func (e *Engine) ID() string { return e.header.ID }

// Window returns how long a key is remembered, and in how many buckets of time.
func (e *Engine) Window() (window time.Duration, buckets int) { return e.opt.Window, e.opt.Buckets }

// Close seals every table, saves the filters and closes the store. Handles must not be used any more. What was not
// committed may or may not be found again. Close of a poisoned engine writes nothing and returns the cause.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return ErrClosed
	}
	close(e.stop)
	e.wakeRoom()
	<-e.keeperDone
	<-e.planterDone
	<-e.syncerDone
	e.aheadDone.Wait()
	for _, s := range e.shards() {
		s.stopRebuild()
		s.stopGather()
		s.stopKeep()
	}
	var err error
	if p := e.poison.Load(); p != nil {
		err = p
	} else if err = e.settle(); err != nil {
		err = fmt.Errorf("engine: closing %s: %w", e.dir, err)
	}
	return errors.Join(err, e.release())
}

// settle brings everything into the index, so that the log is empty, and saves the filters.
func (e *Engine) settle() error {
	e.keeperMu.Lock()
	defer e.keeperMu.Unlock()
	for _, s := range e.shards() {
		s.mu.Lock()
		var err error
		if s.begun || s.changed || s.firstPos != 0 || (s.active != nil && s.active.n > 0) {
			err = s.freeze()
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	ctx := context.Background()
	for more := true; more; {
		var err error
		if more, err = e.seal(ctx); err != nil {
			return err
		}
	}
	if err := e.cutDrops(ctx); err != nil {
		return err
	}
	for _, s := range e.shards() {
		for s.tend() {
		}
		if err := s.saveFilter(); err != nil {
			// A filter can be rebuilt: not saving it is no loss.
			e.logger.Warn("the filter could not be saved, it will be rebuilt", "topic", s.topic, "partition", s.partition, "err", err)
		}
	}
	return e.giveBackLog()
}

// release closes what is open, the lock last.
func (e *Engine) release() error {
	var errs []error
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	if e.index != nil {
		errs = append(errs, e.index.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}
