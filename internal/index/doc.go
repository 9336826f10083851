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
//	| ..            | compactions, inside a bucket                      |
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
// uncompressed, without filters. A table holds marks of one bucket, or metas,
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
//   - A Reader belongs to one goroutine. Its iterator is a clone of a shared
//     snapshot, so that closing it takes no lock of Pebble's.
//   - One goroutine, the closer, closes the snapshots that are out of date.
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
// Measured on a loaded 2-core virtual machine; read them as ratios. 1 Mi keys a
// run, offsets about 1e9 (4 bytes):
//
//	block   bytes/key   Ingest ns/key   Get, warm   Get, cache of 8 MiB
//	 4 KiB    23.8          297           3.8 us        6.5 us
//	 8 KiB    23.5          248           3.6 us        7 us
//	16 KiB    23.3          243
//	32 KiB    23.2          239
//
// A key of 28 bytes is stored in about 14.5 (the bucket and some bits of the hash
// are shared in a block) with 2 of column offset, its value in 4 and 2. We take 4 KiB:
// larger blocks save 2 % of the disk and cost more for each block read, and
// lookups that come here are of old keys, whose blocks are cold. A lookup in a
// bucket of 4 runs that are not compacted costs about 4 times one in a bucket that
// is. SeekGE, SeekPrefixGE and bounded iterators cost the same (3.2 us).
//
//	go test -run=^$ -bench=. -benchtime=5x ./internal/index
package index
