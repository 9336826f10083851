// Package filters compares noecho's filters with github.com/bits-and-blooms/bloom/v3, at equal bits per key and at an equal
// rate of false positives.
//
// The question is the engine's: which of the last buckets of time may hold this key? noecho's filters answer it at once for eight
// planes, of which seven are full here, as with the default of six buckets and one that is about to die. bits-and-blooms has no
// planes. Alone it can only say "somewhere", and cannot forget a bucket without being built again; that is measured as well, with its own hash of the key
// and with a hash that is there already, because it is what most people use.
package filters
