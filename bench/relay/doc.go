// Command relay compares the throughput of `noecho run` with a bare franz-go relay: consume, produce, commit once a
// second, no deduplication. Both are child processes that read the same input topic, in turns (A B B A), so that a
// machine that gets slower gets slower for both.
//
//	this process -- input topic, once --> broker -- input --> A bare | B noecho run -- output --> broker
//	     ^------------------- end offsets of the output, every 5 ms ---------------------------------+
//
// Two rates are printed. "flow" is measured from the moment when a twentieth of the output is there to its last record: what
// a relay can carry. "whole" also counts the start of the process, joining the group and, for noecho, recovery. The ratio is
// taken of the flow of all rounds together. The relay's own processor time and largest resident memory are what wait4 says of the child.
//
//	make bench-relay
//	cd bench && KAFKA_BROKERS=host:port go run ./relay -records 2000000 -rounds 4
package main
