// Package stamp names a message at its producer: it puts a 128-bit id, computed from what the message says, into the
// header noecho-id. A message that an application sends again gets the same id, because nothing but the message goes into
// it: no seed, no clock, no counter. On the other end `noecho run --key header:noecho-id` drops the copies.
//
//	s, err := stamp.New(stamp.Options{Fields: "json:order.id"})
//	client, err := kgo.NewClient(kgo.WithHooks(s.Hook(func(r *kgo.Record, err error) { ... })))
//
// or, where a record that cannot be named must not be sent, s.Record(r) before Produce.
//
// # The id
//
// The first 16 bytes of SHA-256 over fields, as 32 lower-case hexadecimal digits. A field is its length as a 32-bit
// big-endian integer and its bytes; null is the length -1 and no bytes. The fields are, in this order:
//
//	"noecho-id/1"      so that the id is no other program's hash of the same bytes
//	Options.Fields     so that order 17 and payment 17 are not one message
//	each part          key and value for payload; the member's text for json:PATH
//
// docs/stamping.md has the whole definition, in words that any language can follow, and testdata/vectors.jsonl holds it
// worked out. Why SHA-256 and not a faster hash: docs/decisions/0012-stamp-hash.md.
//
// # Who owns what
//
//	stamp.go    Stamper: records, the hook, the header
//	fields.go   which parts of a record are named, and what they are
//	hash.go     the id of parts
//	errors.go   every error of the package
//
// A Stamper is immutable but for its pool of hash states; any number of goroutines may use it.
package stamp
