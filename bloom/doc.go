// Package bloom holds the filters that stand in front of the exact index: "no" ends the matter, "maybe" asks the
// tables and the index. A filter never decides alone, so a false positive costs time and never a message; a false
// negative would pass a duplicate, and there is none.
//
// # Contract
//
// A filter has [Planes] planes. A plane is one bucket of time (the engine maps buckets to planes), so one Test gives the set of
// buckets that may hold a key, and a dead bucket is one plane to clear: nothing is rebuilt when a bucket expires.
//
//	Open(p, hint) -> Add(h, p)* -> ClearSome(p, n)* until done -> Open(p, hint) ...
//
// Keys never come here: the caller computes a seeded 128-bit [Hash] of each key, and both halves must be uniform and
// independent of each other. Nothing is hashed again, so with an unseeded hash an adversary chooses the slots.
//
// A filter has one owner: no method may run at the same time as another on the same filter, not even two Tests while
// an Add runs. Test, TestAll and Add allocate nothing, except an Add that grows the filter.
//
// # The two kinds
//
// Sliced ([NewSliced]) is a bit-sliced blocked Bloom filter: blocked as in Putze, Sanders, Singler, "Cache-, Hash- and
// Space-Efficient Bloom Filters" (WEA 2007); sliced as in the bit-sliced signature files of Faloutsos and Chan (VLDB 1988).
//
//	Hash.Hi x blocks >> 64: the block        8 times 7 bits of Hash.Lo: 4 slots in the near half, 4 in the far one
//	            |                                |   |       |   |          |   |
//	            v                                v   v       v   v          v   v
//	... | 256 slots, 4 lines | ...      slot: [.][b][.][b]...[b][b][.] | [.][b]...   AND of the 8 bytes = Mask
//	                                           byte b: bit p = plane p
//
// Ring ([NewRing]) is the classic: one filter of github.com/bits-and-blooms/bloom/v3 a plane. At 16 bits a key it has a third of
// the false positives, for several cache misses more in every plane. It is the rival in tests and benchmarks.
//
// Both grow by chaining: full layers are followed by one for three times as many keys, and Test ORs over the layers (the scalable filter of
// Almeida et al., IPL 2007, with a fixed ratio). What the sliced kind chains is narrow: a bit a slot, of one plane (narrow.go).
// [Filter.Open] sizes the next layer from the last bucket, and gathering brings what older buckets have in several layers into one,
// so a partition at a steady rate has one layer. Layers go when their planes are clear, or gathered elsewhere.
//
// # File
//
// [Save] writes, [Load] reads; little endian. Load trusts nothing: each length is held against the size of the file before
// memory is taken, and the checksum against every byte.
//
//	| "NOECHOBF" 8 | version 3 | kind 1 | bits a key 1 | layers 4 | min keys 8 | tag length 8 | tag |
//	| layer | layer | ... | sliced: narrow layers 8 | narrow layer | ... | CRC-32C (RFC 3720) of all before 4 |
//
//	sliced layer: | blocks 8 | capacity 8 | spare planes 8 | adds of plane 0..7 8x8 | blocks x 256 slots |   oldest first, the last takes the adds
//	narrow layer: | plane 8 | blocks 8 | capacity 8 | adds 8 | blocks x 32 bytes, the lowest bit first |   of a plane, the last takes the adds
//	ring layer:   | plane 1 | probes 1 | zero 6 | bits 8 | capacity 8 | adds 8 | bits/8 bytes |   by plane, then oldest first
//
// The tag is the caller's: what the filter must match to be used (a generation, the map of buckets to planes).
//
// A plane by itself has a file of its own ([SavePlane], [ReadPlane]; plane_file.go has its layout).
//
// # Who owns what
//
//	bloom.go   the interface, options        block.go    slots of one block: test, add, clear
//	sliced.go  layers, adoption              memory.go   aligned memory (the only unsafe code)
//	narrow.go  layers of one plane, growth   gather.go   several layers of a plane into one
//	second.go  a second opinion on one set   plane.go    a plane taken out, and put back
//	plane_file.go  its file
//	clear.go   incremental clearing          ring.go     the rival (the only importer of bits-and-blooms)
//	save.go    encoder                       load.go     decoder
//	errors.go  every error of the package
package bloom
