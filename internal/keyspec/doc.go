// Package keyspec is what the two ends of a key have in common: the producer's stamps (package stamp) and the reader's keys (package
// kafka) are specified in one language, and find one and the same text in a JSON value. Were each to read it in its own way, a
// member that one finds and the other does not would be a copy that passes, or a message that is dropped.
//
//	key+json:order.id   --Split-->  "key", "json:order.id"
//	{"order":{"id":7}}, "order.id"  --Member-->  "7"
//
// What the parts mean, and which paths are accepted, is the business of either end. Pure functions; any number of goroutines.
package keyspec
