// Package invariants holds assertions for bugs, and only for bugs.
//
// An I/O error, a full disk, a corrupt file or a caller's bad input is an
// operating error: it is returned, typed and wrapped. An assertion states what
// must be true if our own code is right. It panics in builds with the tag
// `invariants` or the race detector, and is nothing at all in others:
//
//	if invariants.Enabled {
//		invariants.Assert(a < b, "runs out of order: %d >= %d", a, b)
//	}
//
// Enabled is a constant, so the compiler removes the whole block, the
// arguments' evaluation included. A bare Assert call is inlined to nothing as
// well, but its arguments are still evaluated: guard it with Enabled where they
// cost anything (a call, a loop, a boxed value in a hot path).
package invariants
