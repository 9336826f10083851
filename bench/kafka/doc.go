// Command kafka puts noecho beside what else takes duplicates out of a Kafka topic, on a real broker, in one run on the same cores:
//
//	bare          a franz-go relay that drops nothing: what the work costs without the question
//	noecho        noecho run
//	txn-100ms/1s  a franz-go GroupTransactSession that commits every 100 ms or 1 s: exactly-once between topics, and no question either
//	redis-single  the bare relay with SET NX for each record, on a redis-server that persists nothing
//	redis-pipe    the same with one pipeline for each fetched batch
//	streams-alo   a Kafka Streams deduplicator (window store, changelog), at_least_once
//	streams-eos   the same, exactly_once_v2
//
// Three things are measured: throughput from an empty output to a full one, for small and large records; latency from the producer to a
// read_committed reader at a fixed rate, all clocks being one process's; and the processor time that the question
// adds to a consumer: kafka.Consumer, and the bare engine in a plain loop, against that loop alone.
// Who cannot run here (no redis-server, no Java) is left out, and that is said.
//
//	make bench-kafka                   # ARGS='--quick' takes less than 3 minutes
//
// Two more commands look at noecho alone:
//
//	make bench-kafka ARGS=restore      # a disk is lost: time until the marks are there again, from the changelog and from the input
//	make bench-kafka ARGS=takeover     # a member is killed: time until the other goes on, with a standby, with the changelog, with neither
//
// Rivals get what is best for them: no linger where latency is measured, one client version, snappy, no persistence in Redis. A relay that commits
// transactions leaves markers in the output, which count there as records: a few hundred in a million.
package main
