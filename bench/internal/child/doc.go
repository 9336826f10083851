// Package child runs each measurement in a process of its own, so that memory, garbage, processor time and bytes written are
// its alone, and a measurement that fails or is killed takes nothing with it.
//
//	parent ── self <command> KIND, spec as JSON on stdin ──► child
//	parent ◄── lines of JSON on stdout: {"progress":…}* then {"result":…} or {"error":…} ── child
//
// The child is the same binary, started again with a hidden command; [Serve] is all that command does. It leads a process
// group of its own, which also holds the servers it starts: when the parent's context ends, the whole group is killed.
package child
