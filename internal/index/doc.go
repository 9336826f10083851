// Package index keeps the exact map (partition, bucket, hash) -> offset on disk,
// in one Pebble store. It is the only package that imports Pebble, its file
// system interface (vfs) apart.
//
// # Contract
//
// Marks come in sorted runs, each of one bucket of one partition, together with
// metas (keys of the caller's own): Ingest takes both in or neither, durably. They
// go by whole buckets or partitions: DropBuckets, DropPartition. In between they
// are looked up, through a Reader, which is a snapshot for one batch. Nothing is
// ever written to Pebble's memtable or WAL.
//
//	      runs, metas                                     batch of keys
//	          |                                                |
//	   one table a bucket, one for the metas            Reader (snapshot)
//	          | write, fsync                                   | Get
//	   dir/ingest-tmp/*.sst                                    |
//	          | db.Ingest: link, sync dir, manifest            |
//	+---------v------------------------------------------------v--------+
//	| L0   |meta| |p1 b7|                 newer runs of a bucket        |
//	|      |meta| |p1 b7|                                               |
//	| ..            | merged once, when the bucket has ended            |
//	| L6   |meta| |p1 b5||p1 b6||p1 b7||p2 b5||p2 b6| ...               |
//	+----------------|--------------------------------------------------+
//	                 v DropBuckets: tables leave by one manifest edit
//
// # Format
//
//	mark   key    partition id (4) | bucket (8) | hash hi (8) | hash lo (8)
//	       value  offset, big endian, without leading zero bytes (0 to 8 bytes)
//	meta   key    0x00000000 | the caller's key
//	       value  the caller's
//
// Integers are big endian, so that bytes sort as numbers. Partition ids start at
// 1. Tables are Pebble's of version 6: columnar blocks, CRC32C a block,
// uncompressed, keys by a schema of ours (keySchema); those that Ingest writes
// have a filter (runFilter). A table holds marks of one bucket, or metas,
// never both and never of two buckets; Ingest makes them so and compactions keep
// them so (bucketSpan). This is what makes expiry free files and not
// just hide them, and what keeps old buckets out of the compactions of new ones.
//
// # Who owns what
//
//   - The caller's goroutine writes the tables of its Ingest, directly to the FS.
//   - Everything else that Pebble does to disk passes the gate, which can be
//     shut. After a failure no byte is written to the directory any more.
//   - Calls that may wait for Pebble's central lock run on a goroutine of their
//     own (call): when Pebble freezes they are left behind, and their callers get
//     a *FailedError.
//   - A Reader belongs to one goroutine. Its iterators, one for stacks and one
//     for buckets that are merged, are clones of a shared snapshot, so that
//     closing them takes no lock of Pebble's.
//   - One goroutine, the closer, closes the snapshots that are out of date.
//   - One goroutine, the settler, decides what is merged, and when. Pebble by
//     itself merges metas only.
//
// # Failure
//
// A failed write or sync of the manifest or of a directory, and a block that does
// not match its checksum, fail the index for good: OnFatal is called once, every
// later call returns a *FailedError, Close gives the directory free. The process
// lives on. Other I/O errors are returned, and nothing has changed. Failed
// compactions are tried again, at most once a second.
//
// # Assumptions
//
// The file system makes a file durable by fsync and its name by fsync of the
// directory, in no order of its own. Damage is found by checksums, with one
// exception, the last record of the manifest after a crash (see manifest.go). What
// we assume of Pebble is tested in assumption_test.go.
//
// # Cost
//
// Measured on a 2-core virtual machine that others used too; read them as ratios.
// Offsets about 1e9 (4 bytes). A key on its whole way in, until its bucket is
// merged (BenchmarkLife, runs of 1 Mi keys):
//
//	bucket   cache     processor    bytes written   merges
//	20 M      64 MiB   1040-1120 ns    43.6          1
//	20 M     before    2300 ns         86            leveled, 17 compactions a bucket
//
// Of that, sealing (Ingest) is 180 to 300 ns and a merge 700 to 900: Pebble's
// compactions are what an index costs, so each key goes through one.
//
// On disk a mark takes 20.3 to 21.3 bytes: hash 6 or 7 and 8, offset 4 and 2 for its
// place, the rest is shared by a block. 0.03 of them are index blocks.
//
// A lookup is the reading of one block when it is cold, 10 to 20 us, and 3 to 4 us
// when it is cached. One of a key that is not there, over a stack of 16 runs,
// is 15 to 22 us and 0.4 blocks (BenchmarkStack); without filters it was 180 to 290 us.
//
//	go test -run=^$ -bench=. -benchtime=1x ./internal/index
package index
