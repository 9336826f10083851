// Package peer puts noecho's engine and its rivals behind one small interface, one file each, so that all are given the
// same records by the same loop and do the same work: decide for each key whether it was there, remember it if not, and
// make that as durable as they can.
//
//	driver ── Start(batch n+1) ──► Worker ── Wait() ──► duplicates of batch n, durable
//	             as many batches in flight as Kind.InFlight allows
//
// A [Kind] is a way to use a rival: Redis by single commands or by pipelines, over TCP or a unix socket, with its append-only
// file synced or without one. It says in a word how durable a batch is when it counts ([Durability]), and in a sentence
// what the kind does not guarantee; every output carries both. None of the rivals keeps who was first together with the key's
// place in the log, which is what lets noecho pass a record again after a crash: here they are measured, not judged by that.
//
// Who owns what: a [Peer] is one open store; a [Worker] has the driver's two goroutines as its users, one for Start
// and one for Wait, and belongs to one partition.
package peer
