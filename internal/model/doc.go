// Package model is the rule of docs/semantics.md written down as naively as possible: maps, slices and linear
// searches, no filter, no table, no log, no I/O. It is the oracle that everything fast is compared with, so it is
// kept obviously right rather than good: whoever doubts a verdict should be able to read it here in a minute.
//
// The package knows nothing of keys' hashes, of files or of Kafka. It is used by tests only.
package model
