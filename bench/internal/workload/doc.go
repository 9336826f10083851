// Package workload makes the records that every peer is given, and knows which of them are duplicates.
//
// A workload is one row of [All]: what share of the records are copies and how far back their originals lie, the form of
// the keys, how many partitions and how many records a batch. A [Source] turns a row into the records of one partition:
//
//	position in the partition ─► id (new: the next one; copy: an earlier one) ─► key = two mixes of the id
//
// Nothing is stored but the count of ids handed out (and, for Zipf, a bit an id), so a source of a thousand million keys
// takes no memory, the same seed gives the same records, and the verdicts of an exact peer can be checked batch by batch:
// [Batch].Duplicates is what it must find.
//
// The records are made while the clock runs, because a peer that works in the background would go on for free while the
// clock stood still. Making a key of 16 bytes costs less than 10 ns (key_test.go holds it to that), the same for every peer.
package workload
