// Package store makes one large store of noecho and asks it what a table of bars or a run at scale wants to know. Each of its
// functions is the work of one child process.
//
//	Build   new keys up to the planned number, as fast as they become durable; a clean close
//	Probe   re-open; memory, disk; a replay storm of old keys; Check of new keys and of recent copies, without the fsync
//	Stall   how long a Check of 64 keys takes while sealing, compaction and expiry run at full load
//	Grow    as Build, but goes on until it is killed
//	Recover opens what the kill left: time until the first and until the full-speed answer, then a replay storm
//
// A store has one partition, and each of its records was new when it came, so the id of a key is the offset of its owner:
// whether a verdict names the right owner can be checked without remembering anything.
package store
