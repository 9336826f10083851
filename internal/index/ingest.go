package index

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Entry is a mark of a bucket: the hash of a key and the offset of the record
// that owns it. A negative Offset deletes the mark.
type Entry struct {
	Hi, Lo uint64
	Offset int64
}

// Run is a set of marks of one bucket of one partition (ids start at 1).
// Entries ascend strictly by (Hi, Lo). The sequence is read once, on the
// goroutine that called Ingest.
type Run struct {
	Partition uint32
	Bucket    uint64
	Entries   iter.Seq[Entry]
}

// Meta is a key of the caller's own, kept beside the marks and changed together
// with them. With Delete the Value is ignored.
type Meta struct {
	Key, Value []byte
	Delete     bool
}

// Ingest adds runs, metas and trails, all or nothing, and they are durable when it
// returns nil. Runs ascend strictly by (Partition, Bucket), and so do trails; metas by
// Key, bytewise. Any may be empty. An entry replaces an earlier one of the same key.
//
// ctx ends the work until the tables are written; from there on Ingest waits
// for the outcome, so that an error other than a *FailedError always means that
// nothing was changed. After an *InputError, an I/O error or ctx.Err() the call
// may be repeated.
//
// Ingests are one after the other. They are never held back by compactions:
// call WaitL0 before.
func (x *Index) Ingest(ctx context.Context, runs []Run, metas []Meta, trails ...Trail) error {
	if err := x.enterWrite(ctx); err != nil {
		return err
	}
	defer x.leaveWrite()

	b := tableBuilder{x: x, ctx: ctx}
	if err := b.build(runs, metas, trails); err != nil {
		b.discard()
		return err
	}
	if len(b.paths) == 0 {
		return nil
	}
	err := x.call(func() error { return x.db.Ingest(context.Background(), b.paths) })
	x.changed()
	if err != nil && x.failure() == nil {
		b.discard() // Pebble removes them only on success
	}
	if err == nil {
		x.settler.ingested(runs, b.keys, len(metas) > 0)
	}
	return err
}

func ascends(a, b *Run) bool {
	return a.Partition < b.Partition || a.Partition == b.Partition && a.Bucket < b.Bucket
}

func before(a, b *Trail) bool {
	return a.Partition < b.Partition || a.Partition == b.Partition && a.Bucket < b.Bucket
}

func runName(r *Run) string { return fmt.Sprintf("partition %d, bucket %d", r.Partition, r.Bucket) }

// tableBuilder writes the tables of one Ingest.
//
// A table holds metas only, or one bucket only. A table over two of them spans
// the whole range between: it would overlap the tables of all buckets and
// partitions in it, land in L0 above them, and drag them into its compaction.
type tableBuilder struct {
	x     *Index
	ctx   context.Context
	paths []string          // of all tables begun, finished or not
	keys  []int64           // entries of each run
	w     sstable.RawWriter // the table being written, or nil
	bare  bool              // tables get no filter: see filteredRuns
	key   [keyLen]byte
	value [maxValueLen]byte
}

// build writes all tables.
func (b *tableBuilder) build(runs []Run, metas []Meta, trails []Trail) error {
	defer b.x.seal()()
	if err := b.metas(metas); err != nil {
		return err
	}
	for i := range runs {
		if i > 0 && !ascends(&runs[i-1], &runs[i]) {
			return &InputError{What: runName(&runs[i]), Reason: "runs are not in ascending order"}
		}
		if err := b.run(&runs[i]); err != nil {
			return err
		}
	}
	for i := range trails {
		if i > 0 && !before(&trails[i-1], &trails[i]) {
			return &InputError{What: "trail", Reason: "trails are not in ascending order"}
		}
		if err := b.trail(&trails[i]); err != nil {
			return err
		}
	}
	return b.ctx.Err()
}

// checkEvery is how many entries are written between two looks at the table's
// size and the context: 64 Ki entries are about 1.3 MB and 10 ms.
const checkEvery = 1 << 16

func (b *tableBuilder) run(r *Run) error {
	if r.Partition == metaPartition || r.Partition >= trailBit {
		return &InputError{What: runName(r), Reason: "ids of partitions are from 1 to 2^31-1"}
	}
	b.bare = b.x.settler.runs(r.Partition, r.Bucket) >= b.x.opts.filteredRuns
	var last Entry
	n := 0
	for e := range r.Entries {
		if n > 0 && (e.Hi < last.Hi || e.Hi == last.Hi && e.Lo <= last.Lo) {
			return &InputError{What: runName(r), Reason: fmt.Sprintf(
				"entry %d (hash %016x%016x) is not above the one before it", n, e.Hi, e.Lo)}
		}
		last = e
		if n%checkEvery == 0 {
			if err := b.roll(); err != nil {
				return err
			}
		}
		n++
		putKey(&b.key, r.Partition, r.Bucket, e.Hi, e.Lo)
		var err error
		if e.Offset < 0 {
			err = b.add(b.key[:], nil, pebble.InternalKeyKindDelete)
		} else {
			err = b.add(b.key[:], appendOffset(b.value[:0], e.Offset), pebble.InternalKeyKindSet)
		}
		if err != nil {
			return b.failed(err)
		}
	}
	b.keys = append(b.keys, int64(n))
	return b.finish()
}

func (b *tableBuilder) metas(metas []Meta) error {
	b.bare = false
	var key []byte
	for i, m := range metas {
		if i > 0 && bytes.Compare(metas[i-1].Key, m.Key) >= 0 {
			return &InputError{What: fmt.Sprintf("meta %q", m.Key), Reason: "keys are not in ascending order"}
		}
		if b.w == nil {
			if err := b.roll(); err != nil {
				return err
			}
		}
		key = appendMetaKey(key[:0], m.Key)
		var err error
		if m.Delete {
			err = b.add(key, nil, pebble.InternalKeyKindDelete)
		} else {
			err = b.add(key, m.Value, pebble.InternalKeyKindSet)
		}
		if err != nil {
			return b.failed(err)
		}
	}
	return b.finish()
}

// add adds an entry; Pebble gives ingested tables a sequence number later.
func (b *tableBuilder) add(key, value []byte, kind pebble.InternalKeyKind) error {
	return b.w.Add(pebble.MakeInternalKey(key, 0, kind), value, false)
}

// roll makes sure that there is a table with room.
func (b *tableBuilder) roll() error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if b.w != nil && b.w.EstimatedSize() < b.x.tableSize {
		return nil
	}
	if err := b.finish(); err != nil {
		return err
	}
	path, w, err := b.x.newTable(!b.bare)
	b.paths = append(b.paths, path)
	b.w = w
	return err
}

// finish closes the table being written, if any: written out and fsynced.
func (b *tableBuilder) finish() error {
	if b.w == nil {
		return nil
	}
	w := b.w
	b.w = nil
	if err := w.Close(); err != nil {
		return b.failed(err)
	}
	return nil
}

func (b *tableBuilder) failed(err error) error {
	return fmt.Errorf("cannot write %q: %w", b.paths[len(b.paths)-1], err)
}

// discard removes the tables; those that can't be removed are left to the next
// Open, because nothing refers to them.
func (b *tableBuilder) discard() {
	if b.w != nil {
		_ = b.w.Close() // it goes anyway
		b.w = nil
	}
	for _, path := range b.paths {
		_ = b.x.fs.Remove(path)
	}
}
