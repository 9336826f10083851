// Package kafka runs the engine on Kafka: the relay, which copies a topic to another and leaves out the duplicates.
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
// Marks are durable before the offset is: an offset that Kafka holds is never ahead of the marks.
//
// # Who owns what
//
//   - A member does what any consumer of a group has to do here, and knows nothing of what becomes of the records. Its role (the
//     relay) and, for each assignment, its task (the worker) do.
//   - The poll loop (Run's goroutine) feeds the queues, pauses partitions, and lets rebalances happen between polls.
//   - An assignment's goroutine owns what its task works with: the worker's builder and its lane's sequence numbers. What
//     others look at (queue, pending, open, handled, lastOut) is under assignment.mu, taken for moments only.
//   - The producer owns a batch from enqueue to acked.
//   - A fetched record is the worker's from the queue on, until handle has recycled its chunk: then its memory is the
//     client's again (recordPool), and nobody may hold on to the record, its key or its value.
//   - The commit loop, the restore's claim and a revocation commit under commitMu, one at a time.
//   - The client's callbacks (assigned, fetched, adjust, revoked, lost) come one at a time; release is under releaseMu,
//     because Run may stop meanwhile.
//   - A handle of the engine belongs to the assignment, whose goroutine learns and checks with it, and is closed by release after the assignment's goroutine has returned.
//
// # Exactly the originals
//
// The output of a partition is always a prefix of what should be there. That is why the relay sends its batches itself,
// one at a time a partition, and not through the client's producer: see producer. Every record in the output names its
// source in the header noecho-source (topic/partition/offset), and every offset that the relay commits carries the output
// offset from which a scan finds all that may have been written since:
//
//	noecho/1 at=<offset> out=<N> [since=<offset>] [topic=<id>] [clean] [rewound]
//
// A start reads the output from N on. The largest source offset it finds, S, says where the prefix ends: records up to S are
// checked again, because their marks must be taken in, and not produced again. See decide for the four cases, among
// them an operator who sets the group's offsets with the usual tools, and is obeyed.
//
// # Where state is missing
//
// Where the store knows less of a partition than lies below its start (a lost disk, another store had it meanwhile), the
// assignment's goroutine learns it from the input before it is ready: see learn, and Learn for what counts as handled. At most one
// window is read, and only what is committed. A start below the coverage's end is a rewind, and learns nothing; nothing is
// learned backwards, below where the coverage starts.
//
// # What it does not do
//
//   - It does not fence a process that Kafka has given up but that lives on (a long pause of the machine): until that one
//     hears of it, both write. Static membership with one process for each data directory makes that an accident that has
//     to be arranged; a second process with the same instance id ends the first with a *FencedError.
//   - A request that a killed predecessor had on its way for longer than SettleWait, before the output's leader appended
//     it, goes unseen: its records are repeated. What the leader has appended is waited for until it is replicated, where the
//     broker tells its log's end (OffsetForLeaderEpoch, which takes the right to DESCRIBE the output); else only the high
//     watermark is seen, and a replication that lags by more than SettleWait has the same effect.
//   - Where others write to the output without a pause, it never stands still: after some tries, what the leader held at one look
//     and shows at the next is taken for the tail.
//   - Records without a key that pass are not deduplicated, but they are recovered like all others.
//   - A topic that is deleted and made again under the same name is noticed by its id while the member runs, and at a start
//     where the group still has its offsets: each commit carries the id. Brokers that drop the offsets with the topic leave
//     only what the store knows, which is no id: then it is noticed where offsets no longer fit (*OffsetError).
//   - After a stop, the member stays in the group until its session expires (static membership). The usual tools reset
//     offsets only in an empty group: wait for that, or remove the member.
package kafka
