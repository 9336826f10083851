package engine

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/internal/index"
	"noecho/wal"
)

// Report is what [Inspect] finds in a data directory.
type Report struct {
	Dir        string
	ID         string
	Format     int
	Hash       string
	Window     time.Duration
	Buckets    int
	Partitions []PartitionReport
	IndexBytes uint64 // of the index on disk
	WALBytes   int64  // headers and frames
	WALFrames  int    // that the index does not hold yet
}

// PartitionReport is the state of one partition, as an Open would recover it.
type PartitionReport struct {
	PartitionMetrics
	IndexBytes uint64 // on disk, estimated; keys in the log are not in it yet
	TrailBytes uint64 // of these, the trail's
}

// Inspect reads a data directory and changes nothing. It takes the directory's lock, so the store must not be in use:
// ErrLocked. Errors otherwise as of Open, and ErrNoStore.
func Inspect(dir string) (Report, error) { return inspect(vfs.Default, dir) }

func inspect(fs vfs.FS, dir string) (r Report, err error) {
	if _, err := fs.Stat(fs.PathJoin(dir, headerName)); err != nil {
		return Report{}, fmt.Errorf("%w: %s", ErrNoStore, dir)
	}
	lock, err := lockDir(fs, dir)
	if err != nil {
		return Report{}, err
	}
	defer func() {
		if cerr := lock.Close(); err == nil {
			err = cerr
		}
	}()
	h, ok, err := readHeader(fs, dir)
	if err != nil {
		return Report{}, err
	}
	if !ok {
		return Report{}, fmt.Errorf("%w: %s", ErrNoStore, dir)
	}
	o := Options{FS: fs, Window: time.Duration(h.WindowMs) * time.Millisecond, Buckets: h.Buckets}.withDefaults()
	e := &Engine{
		dir: dir, opt: o, logger: o.Logger, header: h, delta: h.WindowMs / int64(h.Buckets),
		pool: newTableMemory(), trails: newTrailMemory(), parts: map[partitionName]*shard{}, byID: map[uint32]*shard{}, nextID: 1,
	}
	if e.index, err = index.Open(fs.PathJoin(dir, indexDir), index.Options{FS: fs, ReadOnly: true}); err != nil {
		return Report{}, fmt.Errorf("engine: opening the index: %w", err)
	}
	defer func() {
		if cerr := e.index.Close(); err == nil {
			err = cerr
		}
	}()
	return e.report()
}

// report reads the state and counts the log's frames on top. Nothing is stored: the marks are only counted.
func (e *Engine) report() (Report, error) {
	r := Report{
		Dir: e.dir, ID: e.header.ID, Format: e.header.Format, Hash: e.header.Hash,
		Window: e.opt.Window, Buckets: e.opt.Buckets, IndexBytes: e.index.Metrics().DiskBytes,
	}
	if err := e.loadShards(); err != nil {
		return Report{}, err
	}
	fs := e.opt.FS
	_, err := wal.Replay(fs.PathJoin(e.dir, walDir), wal.Options{FS: fs}, func(pos wal.Position, payload []byte) error {
		r.WALBytes += int64(len(payload))
		f, err := wal.Decode(payload)
		if err != nil {
			return err
		}
		s := e.byID[f.Partition]
		if s == nil || f.Seq < s.seq {
			return nil
		}
		r.WALFrames++
		return s.apply(pos, &f, (*counter)(s))
	})
	if err != nil {
		return Report{}, fmt.Errorf("engine: reading the log: %w", err)
	}
	for _, s := range e.list {
		s.durable = s.committed
		s.expire()
		p := PartitionReport{PartitionMetrics: s.metrics()}
		n, err := e.index.DiskBytes(s.id, 0, ^uint64(0))
		if err != nil {
			return Report{}, err
		}
		p.IndexBytes = n
		if p.TrailBytes, err = e.index.TrailBytes(s.id, 0, ^uint64(0)); err != nil {
			return Report{}, err
		}
		r.Partitions = append(r.Partitions, p)
	}
	return r, nil
}

// counter applies the parts of a frame to the numbers of a shard, and stores no mark.
type counter shard

// Boundary opens a bucket.
func (c *counter) Boundary(num uint64, first int64) error {
	s := (*shard)(c)
	if len(s.buckets) == 0 || int64(num) > s.current().num {
		s.buckets = append(s.buckets, bucket{num: int64(num), first: first})
	}
	return nil
}

// Mark counts a mark.
func (c *counter) Mark(num, _, _ uint64, _ int64) error {
	if b := (*shard)(c).find(int64(num)); b != nil {
		b.keys++
	}
	return nil
}

// Forget counts one mark less.
func (c *counter) Forget(num, _, _ uint64) error {
	if b := (*shard)(c).find(int64(num)); b != nil && b.keys > 0 {
		b.keys--
	}
	return nil
}

// Floor drops buckets, and empties the current one when it is below.
func (c *counter) Floor(num uint64) error {
	s := (*shard)(c)
	s.dropBelow(int64(num))
	if len(s.buckets) > 0 && s.current().num < int64(num) {
		s.current().keys = 0
	}
	return nil
}

// StoreID returns the ID of the store in a directory. It reads the header and no more, so that the store may be in use, or
// damaged. ErrNoStore where there is none; a *HeaderError where the header cannot be read.
func StoreID(dir string) (string, error) {
	h, ok, err := readHeader(vfs.Default, dir)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", fmt.Errorf("%w: %s", ErrNoStore, dir)
	}
	return h.ID, nil
}
