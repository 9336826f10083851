package index

import (
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of an index. The zero value is ready to use.
type Options struct {
	// FS is the file system; nil means vfs.Default. Everything the index does
	// to disk goes through it.
	FS vfs.FS

	// Logger receives Pebble's own messages at Debug, background errors at
	// Warn and the final failure at Error; nil discards them.
	Logger *slog.Logger

	// CacheBytes is the size of the block cache; 0 means 32 MiB. It should
	// hold at least the index blocks of the live tables, 0.03 bytes a key
	// (measured), else every lookup reads two blocks and not one.
	CacheBytes int64

	// OnFatal is called at most once, on a goroutine of its own, when the index
	// has failed (see FailedError). It may call any method of the index. A
	// goroutine of its own, because the failure may be found inside a caller's
	// Get, under whatever locks that caller holds: called there, a handler
	// that takes the same lock would never return.
	OnFatal func(error)

	// OnMerged is called after the runs of a bucket were merged, by the goroutine
	// that does all merging: it must return at once. See Unsettled.
	OnMerged func()

	// ReadOnly opens an existing index without writing to its directory.
	ReadOnly bool

	// Compactions is the most compactions that run at the same time; 0 means
	// half of GOMAXPROCS, at least 1.
	Compactions int

	// mergeDepth is the constant of that name, in tests less.
	mergeDepth int

	// filteredRuns is the constant of that name, in tests less.
	filteredRuns int

	// tune changes Pebble's options, for tests that must own every file
	// operation and for benchmarks of the choices below.
	tune func(*pebble.Options)
}

const (
	defaultCacheBytes = 32 << 20

	// formatVersion pins the on-disk format; never FormatNewest, because
	// raising it is one-way. Columnar blocks (v5 tables) store the 12-byte
	// prefix once a block; v6 adds a checksum of the footer. Value separation
	// (v7) has no use for values of 4 bytes.
	formatVersion = pebble.FormatTableFormatV6

	// blockBytes is the size of a data block, 800 marks. See doc.go for the
	// figures. Why not 4 KiB: the index blocks, 0.13 bytes a key, would not stay
	// in the cache, and each lookup reads two blocks. Why not larger: what a
	// lookup reads and throws away.
	blockBytes = 16 << 10

	// indexBlockBytes is large enough that a table's index is one block: a second
	// level is one more block for every lookup to find.
	indexBlockBytes = 256 << 10

	// tableBytes is where Ingest splits a run. Why not larger: an index block
	// of a table is read and cached whole. Why not smaller: files, manifest
	// entries and one fsync each.
	tableBytes = 64 << 20

	// compactionTableBytes is the target size of a compaction's output. Hashes
	// are uniform, so a run of a bucket overlaps all tables of that bucket
	// whatever their size: small tables would save no rewriting.
	compactionTableBytes = 32 << 20

	// mergeDepth is how many runs of a bucket are stacked up before they are merged
	// although it has not ended. See settler. Why not smaller: each such merge
	// rewrites the whole bucket, and what is stacked after it stays a stack if it is
	// little: a bucket of 150 runs that was merged at 64 and 128 was left with 22, of
	// which each lookup opens one after the other. Why not larger: a lookup of a mark
	// that is there asks all runs, and beyond filteredRuns reads a block of each. (Of
	// those that are not there a second filter keeps most away.)
	mergeDepth = 192

	// filteredRuns is how many runs of a stack have filters; those above have none. All
	// filters of a deep stack do not fit into the cache, and then each lookup reads
	// nearly all of them, for they go round: a filter of a megabyte costs 300 us,
	// the block that it would spare 10.
	filteredRuns = 64

	// pebbleDepth: Pebble merges by itself what is so many times mergeDepth deep,
	// which is deeper than sealing lets a stack become (WaitL0).
	pebbleDepth = 3

	// stackFiles: a thousand partitions may have a stack each, and Pebble counts
	// files too.
	stackFiles = 1 << 17

	// baseBytes is the size of the store at which Pebble would begin to use levels
	// between L0 and L6. They would hold a part of a bucket's runs, to be
	// merged once more.
	baseBytes = 1 << 50

	// bytesPerSync is how much of a table is written before the kernel is told to
	// begin with the disk's part. Else all of it is left to the fsync at the end,
	// and the log's fsyncs queue up behind that.
	bytesPerSync = 512 << 10

	// memTableBytes is as small as Pebble's first memtable is anyway. We never
	// write to memtables: one exists, empty, because Pebble needs one.
	memTableBytes = 256 << 10

	// openFiles bounds the open tables. A thousand partitions of seven buckets
	// have 7000 tables at least; the hot ones are those of the last buckets.
	openFiles = 2000

	// deletionBytesPerSecond paces the unlinking of dead tables. Excise drops a
	// bucket of many GB in one edit, and unlinking them back to back stalls
	// the fsyncs of the log on many disks (discards, journal). Why not slower:
	// ingestion at full speed with its compactions makes about 250 MB/s of
	// dead tables, and the space must come back faster than it goes. Pebble
	// speeds up by itself when space is short and does not pace in Close.
	deletionBytesPerSecond = 512 << 20
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.Compactions <= 0 {
		o.Compactions = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.mergeDepth <= 0 {
		o.mergeDepth = mergeDepth
	}
	if o.filteredRuns <= 0 {
		o.filteredRuns = filteredRuns
	}
	return o
}

// pebbleOptions argues each choice that differs from Pebble's defaults.
func (x *Index) pebbleOptions() *pebble.Options {
	logger := &pebbleLogger{x: x}
	p := &pebble.Options{
		FS:                         x.gate,
		Logger:                     logger,
		EventListener:              x.listener(),
		ReadOnly:                   x.opts.ReadOnly,
		CacheSize:                  x.opts.CacheBytes,
		FormatMajorVersion:         formatVersion,
		MemTableSize:               memTableBytes,
		MaxOpenFiles:               openFiles,
		L0CompactionThreshold:      2 * pebbleDepth * x.opts.mergeDepth, // Pebble counts twice
		L0StopWritesThreshold:      4 * pebbleDepth * x.opts.mergeDepth, // of its memtables, which get none
		BytesPerSync:               bytesPerSync,
		L0CompactionFileThreshold:  stackFiles,
		LBaseMaxBytes:              baseBytes,
		TargetByteDeletionRate:     deletionBytesPerSecond,
		CompactionConcurrencyRange: func() (int, int) { return 1, x.opts.Compactions },
		// All that is written is ingested: there is nothing a WAL could hold.
		DisableWAL: true,
	}
	// Without a WAL an ingest or excise "as flushable" has no record anywhere:
	// it returns nil and is gone after a crash.
	p.Experimental.DisableIngestAsFlushable = func() bool { return true }
	// Read-triggered compactions serve scans of hot ranges. Our reads are points
	// spread evenly, and the sampling would take DB.mu when an iterator closes.
	p.Experimental.ReadSamplingMultiplier = -1
	p.Experimental.SpanPolicyFunc = bucketSpan
	// Hashes do not compress, and the shared prefix is stored once a block.
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	// Tables of stores that were made before keySchema are in Pebble's own: they
	// are read, and compactions write them anew.
	p.KeySchema, p.KeySchemas = KeySchemaName, KeySchemas()
	for i := range p.Levels {
		p.Levels[i].BlockSize, p.Levels[i].IndexBlockSize = blockBytes, indexBlockBytes
		p.TargetFileSizes[i] = compactionTableBytes
		// No filter where a lookup finds one table: our own filter has already
		// said "maybe", and it has said in which bucket.
		p.Levels[i].FilterPolicy = pebble.NoFilterPolicy
	}
	p.Levels[0].FilterPolicy = runFilter{}
	if x.opts.tune != nil {
		x.opts.tune(p)
	}
	p.EnsureDefaults() // the comparer that our own tables need
	return p
}

// bucketSpan makes compactions end a table where a bucket ends. Without it a
// compaction joins the small tables of neighbouring buckets and partitions into
// one, and the excise of a dead bucket leaves virtual tables that hold on to
// the whole file: space would come back only after the last bucket in it died.
func bucketSpan(start []byte) (pebble.SpanPolicy, []byte, error) {
	partition, bucket, _, _, ok := decodeKey(start)
	if p, b, _, trail := decodeTrailKey(start); trail {
		partition, bucket, ok = p|trailBit, b, true
	}
	if !ok {
		// A meta: its span ends where the partitions begin.
		return pebble.SpanPolicy{}, appendPartitionEnd(nil, metaPartition), nil
	}
	return pebble.SpanPolicy{}, appendBucketEnd(nil, partition, bucket), nil
}
