// Package wal is an append-only log with group commit: frames go in, one fdatasync makes all of
// those that wait durable, and after a crash the frames come back in order, without a hole, at
// least up to the last one that Sync acknowledged.
//
// # Contract
//
//   - Append gives a frame its place in the order. Sync(pos) returns nil when the frame at pos and
//     every frame before it is on stable storage. Callers that wait together share a sync.
//   - Open replays a prefix of what was appended (from the oldest segment that Truncate left), and
//     that prefix holds every acknowledged frame. What it replays is durable; what it cut is gone
//     for good, over any number of further crashes.
//   - Damage to frames that were durable is reported, never cut away: see "Torn or damaged".
//   - The first failed write or sync is the last: the log is poisoned, see PoisonedError.
//   - Close marks the end as clean, so that damage anywhere before it is found.
//
// Assumptions. A sync that returned nil put the data on stable storage. A write that is cut short
// by a crash leaves bytes outside of the written range alone (SQLite calls it powersafe overwrite),
// though any part of the range may be old, new, or zero. Rename is atomic, and a directory's sync
// makes it durable. Checksums are against accidents, not against someone who edits files.
//
// Not covered: damage to the very last group of frames before a crash looks like a torn write, since
// nothing written later says otherwise. It is cut. After a clean Close there is no such group.
//
// # Files
//
//	DIR/00000000000000000007.wal     segments, numbered from 1 without a gap
//	DIR/00000000000000000008.wal     the last one is written
//	DIR/00000000000000000003.spare   files that will become segments; their content is of no account
//
// All integers are little endian. A segment:
//
//	 0       8         12       16         24        28      32
//	+---------+---------+--------+----------+---------+-------+---------+---------+-- -- --
//	| magic   | version | number | previous | 0       | crc   | frame   | frame   | zeros, or
//	| 8 bytes | u32 = 1 | u32    | u64      | u32     | u32   |         |         | stale bytes
//	+---------+---------+--------+----------+---------+-------+---------+---------+-- -- --
//
// magic is "noechoWL". previous is the Position (segment<<32 | offset) where the log ended in the
// segment before: that one is read exactly that far. crc is CRC-32C of bytes 0 to 27.
//
// A frame, which starts at a multiple of 8:
//
//	 0        4         8        12     13    16        24         24+length
//	+---------+---------+--------+------+-----+---------+----------+---------+
//	| check   | sum     | length | kind | 0   | durable | payload  | zeros   |
//	| u32     | u32     | u32    | u8   | u24 | u64     |          | to 8    |
//	+---------+---------+--------+------+-----+---------+----------+---------+
//
// sum is CRC-32C of the payload. check is CRC-32C of the frame's Position (8 bytes) followed by
// bytes 4 to 23. So a frame is one only at its place: bytes left over in a recycled file are not,
// nor is a payload that looks like a frame. kind is 1 for data, 2 for the trailer of a clean end.
// durable is a Position: every frame that starts below it was on stable storage when this one was
// written.
//
// The payload of an Encoder (Decode and Visit read it):
//
//	 0         4           8      16     24     32          40            48
//	+---------+-----------+------+------+------+-----------+-------------+-- -- --
//	| version | partition | seq  | from | to   | committed | stream time | sections
//	| u32 = 1 | u32       | u64  | i64  | i64  | i64       | i64         |
//	+---------+-----------+------+------+------+-----------+-------------+-- -- --
//
//	boundary   1, bucket uvarint, offset
//	marks      2, bucket uvarint, count u32, then count times: hi u64, lo u64, offset
//	forget     3, bucket uvarint, hi u64, lo u64
//	floor      4, bucket uvarint
//
// where offset is a zigzag varint: the difference to the offset before it in the payload, or to
// from. A mark mostly takes 17 bytes.
//
// # Torn or damaged
//
// The first bad frame ends the log, or is damage. Let it stand at x. If a sound header somewhere
// behind x says that what was durable reached beyond x, then x was durable, was sound, and is
// damaged: a *CorruptionError. Else nothing shows that it was ever acknowledged: a torn tail. To
// cut at x without asking would turn one flipped bit into the loss of all frames behind it.
//
//	seg 7   [f f f x . . .]                       nothing behind: cut at x
//	seg 7   [f f f x f f .]                       durable of a later f <= x: cut at x, all of one torn write
//	seg 7   [f f f x f f .]                       durable of a later f >  x: damaged
//	seg 7   [f f f x      ]  seg 8 [header ...]   a segment begins when the one before is durable: damaged
//
// Only headers are asked, and only those whose check holds for the place they are at; the search
// goes to the end of the last segments.
//
// # Never back from the dead
//
// A crash can leave sound frames behind the cut (their group's first block was lost). New frames go
// over them, and after a second crash one of them might stand just where the new ones end. Two
// ways out: begin a new segment at each start, or destroy them. A segment for each start would let
// a service that restarts often fill the disk with segments that hold little, so repair zeroes the
// headers of such frames and syncs before anything is appended.
//
// # Flow, and who owns what
//
//	Append --copy--> pending group      (mu: any caller)
//	Sync   --------> leader             (one caller at a time: seals, writes, syncs; owns the active file)
//	                   |  segment full: sync, take a spare, name it, sync the directory, write the
//	                   |  header, sync; only then the next frame
//	spareMaker <-------+  half full and no spare: make one, in the background
//	Truncate ----------> oldest segments become spares, one by one, each durably
//
// Open owns everything until it returns. The background goroutine touches spare files only, and
// Close ends it.
package wal
