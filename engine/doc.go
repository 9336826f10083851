// Package engine decides which records of a Kafka partition are duplicates, and keeps the state that takes.
//
// The rule (docs/semantics.md) in one sentence: a record is a duplicate only of an earlier record of the log: same
// key, lower offset, inside the window. A mark is therefore a pointer, key -> first offset, and not a flag "seen": the
// owner delivered again finds its own offset and passes, a copy finds a lower one and is dropped.
//
// # The way of a record
//
//	Check ─ hash keys ─ ask the filter for all ─ decide in offset order ───────┐
//	                                                                           │ new mark
//	                        ┌────────────────────┬─────────────────────────────┤
//	                        ▼                    ▼                             │
//	                   active table        WAL frame (memory)                  │
//	                   (current bucket)         │                              │
//	                        │ full, or bucket   │ Commit: append, one fdatasync│
//	                        ▼ over              ▼ for all who wait             │
//	  filter plane ◄── frozen table ──────► Pebble (sstable, ingested) ◄───────┘ lookup, only on "maybe"
//	  of the bucket  planter        keeper  and the trail, where it is wanted
//
// # Who owns what
//
// A [Partition] handle has one user at a time; its state (shard) is protected by the shard's mutex, held for a chunk of
// a batch at the most, and across an fsync only where 4 MiB of log wait for a caller that commits rarely. One goroutine,
// the keeper, seals tables, drops dead buckets, evicts tables over the memory budget, enforces the bounds and gives back
// WAL segments. Another, the planter, puts frozen tables into the filters and is the only one that changes them; a third, the
// syncer, syncs what CommitStart began. Where lookups wait for the disk, some more do those of a chunk before it is decided, side by side (ahead.go). Lock order: Engine.mu before shard.mu, and Topic.mu before it, whose holder may take a second one; the WAL and the index have locks of their own, below both.
//
// # What is durable when
//
// [Partition.Commit] (or [Partition.CommitWait], of a commit that was started) returns when every mark below its offset is on stable storage. What came after the last commit may
// survive a crash or not: the verdicts are the same either way, because the caller delivers again from the committed
// offset. After a failed write or sync the engine is poisoned: nothing is acknowledged any more, every call returns a
// [*PoisonedError], and the process should stop; the next Open finds a sound state.
//
// The engine knows no Kafka: any client can be its caller.
package engine
