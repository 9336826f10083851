// Package kafka runs the engine on Kafka, in three forms:
//
//   - [Relay] copies a topic to another and leaves out the duplicates.
//   - [Consumer] gives a handler the records of a topic that are no duplicates.
//   - [Filter] leaves the duplicates out in a poll loop that is the caller's own.
//
// # What a consumer can rely on
//
//	                fetch -> Check -> handler -> engine.Commit (fsync) -> offset commit
//	a crash here:         |        | passes again | handled again    | not repeated
//
// The promises:
//
//   - Each original is handled, at least once: one that was handed over before a crash and not committed is handed over
//     again, and [Batch.Redelivered] says so. Where nothing crashes, is lost, or fails, it is once.
//   - No copy is handled: of an earlier record of the partition, with the same key, inside the window, and as far as this
//     engine has seen it, or has learned of it: see RestoringPass.
//   - Marks are durable before the offset is. A start goes on at the later of the two; an operator who sets the group's
//     offset is obeyed: originals come again, copies do not.
//   - In a partition the handler has one call at a time, in offset order. A copy that takes the place of a record that was
//     given up may come after records behind it.
//   - A record is given up only by OnErrorSkip and OnErrorDeadLetter, and gives up its key: the next copy passes. A rewind
//     to before it brings both again.
//   - A panic in the handler ends Run with a [*PanicError]; nothing of its batch is committed, whatever OnError says.
//
// A [Filter] shows its caller no copy, and makes marks durable before it gives out or commits an offset. What is handled, and when
// that is committed, is its caller's; and it takes the group's offset as it is, and keeps nothing beside it.
//
// # Flow
//
//	input partition p                                                              output partition p
//	      |                                                                               ^
//	   PollFetches (poll loop, one)                                                       | one batch of p under way
//	      |  push back: wait, then pause p                                                |
//	      v                                                                               |
//	   queue of p --> worker of p (one goroutine): key -> Check -> drop, or builder --> producer (requests a broker)
//	                                                                   ^                  |
//	                                                                   +---- acked -------+
//	   commit loop, each interval, all partitions together:
//	      position of each worker -> engine.Commit (one fsync) -> one OffsetCommit with metadata
//
// Marks are durable before the offset is: an offset that Kafka holds is never ahead of the marks. (But in bypass, see Modes, and while records pass, see Where state is missing.)
//
// A consumer is the same up to Check; then its handler is called, in the same goroutine.
//
// # Who owns what
//
//   - A member does what any consumer of a group has to do here, and knows nothing of what becomes of the records. Its role (the
//     relay, the consumer) and, for each assignment, its task (worker, handling) do.
//   - The poll loop (Run's goroutine) feeds the queues, pauses partitions, and lets rebalances happen between polls.
//   - An assignment's goroutine owns what its task works with: the worker's builder and its lane's sequence numbers. What
//     others look at (queue, pending, open, handled, lastOut) is under assignment.mu, taken for moments only.
//   - The producer owns a batch from enqueue to acked.
//   - A fetched record is the task's from the queue on, until handle has recycled its chunk: then its memory is the
//     client's again (recordPool), and nobody may hold on to the record, its key or its value.
//   - The commit loop, the restore's claim, a revocation, and a consumer that has the engine forget keys, commit under
//     commitMu, one at a time.
//   - The lease is renewed by a goroutine of its own, or by the client's hooks (heartbeats). Whoever is about to act looks at it: the producer before it sends, a handling
//     before it calls.
//   - What the changelog is to be told is added by the assignment's goroutine, and written by whoever commits. A handle belongs to the
//     standby's goroutine until leave has closed it, before the assignment claims its own.
//   - The client's callbacks (assigned, fetched, adjust, revoked, lost) come one at a time; release is under releaseMu,
//     because Run may stop meanwhile.
//   - A handle of the engine belongs to the assignment, whose goroutine checks with it, and it or one beside it learns; it is closed by release after the assignment's goroutine has returned.
//
// # Exactly the originals in the output
//
// The output of a partition is always a prefix of what should be there. That is why the relay sends its batches itself,
// one at a time a partition, and not through the client's producer: see producer. Every record in the output names its
// source in the header noecho-source (topic/partition/offset), and every offset that the relay commits carries the output
// offset from which a scan finds all that may have been written since:
//
//	noecho/1 at=<offset> out=<N> [since=<offset>] [topic=<id>] [clean] [rewound] [txn]
//
// A start reads the output from N on. The largest source offset it finds, S, says where the prefix ends: records up to S are
// checked again, because their marks must be taken in, and not produced again. See decide for the four cases, among
// them an operator who sets the group's offsets with the usual tools, and is obeyed.
//
// # Fencing
//
// With FencingTransactional what is written between two commits, and the offsets, are one transaction of all partitions:
//
//	gate closed, answers awaited -> engine.Commit -> AddOffsetsToTxn, TxnOffsetCommit (generation) -> EndTxn -> gate open
//
// The offset says exactly what the output holds ("txn" in the metadata), so a start goes on there, not at the store's position, and
// reads no tail. See transaction, producer.closeGate, and docs/decisions/0017.
//
// # Where state is missing
//
// Where the store knows less of a partition than lies below its start (a lost disk, another store had it meanwhile), the
// assignment's goroutine learns it from the input before it is ready: see learn, Learn for what counts as handled, and LearnFrom for how far
// back it goes: one window, unless told otherwise. Only what is committed is read. A start below the coverage's end is a rewind, and learns nothing; nothing is
// learned backwards, below where the coverage starts. With RestoringPass records pass meanwhile: see while_restoring.go.
//
// With a changelog the marks come from there (replay), and from the input only what lies behind a hole in it. See changelog.go for what is
// told in which order, changes for how it is gathered, and docs/decisions/0016 for the reasons. A standby follows the changelog of what
// this member does not have:
//
//	position of each worker -> changelog (acknowledged) -> engine.Commit -> OffsetCommit
//	                               |
//	                               +--> replay of a store that lacks it;  standby of another member, each commit interval
//
// # Copies in other partitions
//
// With ScopeTopic the partitions share their marks: what would be an original is asked of the others (engine.Topic). The log does not
// order two partitions, so after a crash a copy may be taken in before its original. Two things make that harmless:
//
//	learn up to the output's tail -> gather: all partitions -> run: a copy waits until its original is done
//
// What is done then has, with each copy, the message itself in it, and is known before anything new passes: docs/decisions/0018.
//
// # Duplicates
//
// With OnDuplicate drop they are left out. With tag they go to the output like all others, in their place, and with topic to
// DuplicatesTopic, same partition number, by a builder and a lane of their own. Either way they carry, behind their own headers:
//
//	noecho-verdict          duplicate (no_key: see ModeShadow)
//	noecho-original-offset  of the record that this one is a copy of: same topic, same partition
//	noecho-original-partition   where it is another partition (ScopeTopic)
//	noecho-age-ms           the copy's timestamp minus the original's, where that is known
//	noecho-age-least-ms     else: the copy is at least that much younger, by the original's bucket of time; or neither
//	noecho-source           as all records of the output
//
// The output is a prefix of what should be there as before: what should be there has become more. The topic of duplicates gets
// each at least once: no offset is committed before the duplicates below it are acknowledged, and that is why an offset
// can wait while the output goes on; see hold for what N is then.
//
// # Modes
//
// ModeActive, ModeShadow (all passes, verdicts in headers) and ModeBypass (all passes, the engine is not asked) are changed
// by SetMode, at a chunk's boundary, and not kept: docs/decisions/0011 has the reasons.
//
// # Whose partition
//
// State is on the disk of the member that had a partition, so that member should get it back, also when it has been away for
// longer than its session. Each member tells the group's leader, when it joins, which offsets of which partitions its store
// knows (balancer_codec.go). The leader balances the counts first, then keeps what is known, then moves as little as possible
// (balancer.go, place.go). The protocol is cooperative: nobody gets a partition before its owner has drained it. A group
// in which somebody does not offer our protocol uses plain cooperative-sticky, which every member offers too.
//
// With ProtocolConsumer the coordinator assigns, and knows nothing of this: docs/decisions/0020 has what that means.
//
// # What it does not do
//
//   - Without FencingTransactional it does not fence a process that Kafka has given up but that lives on (a long pause of the
//     machine). Such a one stops by itself, because it acts only while the coordinator has confirmed it within the session (lease); but what it was sending, or handling, at that moment goes
//     on beside its successor. Static membership with one process for each data directory makes that an accident that has
//     to be arranged; a second process with the same instance id ends the first with a *FencedError (with ProtocolConsumer itself).
//   - A request that a killed predecessor had on its way for longer than SettleWait, before the output's leader appended
//     it, goes unseen: its records are repeated. What the leader has appended is waited for until it is replicated, where the
//     broker tells its log's end (OffsetForLeaderEpoch, which takes the right to DESCRIBE the output); else only the high
//     watermark is seen, and a replication that lags by more than SettleWait has the same effect.
//   - Where others write to the output without a pause, it never stands still: after some tries, what the leader held at one look
//     and shows at the next is taken for the tail.
//   - What passes in bypass leaves no marks: copies of it pass, for up to a window after the way back. In bypass an offset that
//     Kafka holds is ahead of the marks, on purpose.
//   - A partition that comes home lacks the marks of what others read of it meanwhile, and the balancer does not see that hole.
//   - Records without a key that pass are not deduplicated, but they are recovered like all others.
//   - A topic that is deleted and made again under the same name is noticed by its id: at a start at once, because each commit carries the
//     id, and so does the store (engine.LogID); while the member runs within 30 s, in which it may have handled records of the new topic
//     as if they were the old one's. Brokers without topic ids (before 2.8) leave only offsets that no longer fit (*OffsetError).
//     A Filter does not look.
//   - After a stop, the member stays in the group until its session expires (static membership). The usual tools reset
//     offsets only in an empty group: wait for that, or remove the member.
package kafka
