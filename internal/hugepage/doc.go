// Package hugepage takes memory that is read and written all over, so that the kernel backs it with huge pages, and that
// the collector does not count.
//
// # Why
//
// A filter of 200 MB or a table of 100 MB is touched at random. With pages of 4 KiB each touch misses the translation
// buffers as well as the caches, and in a virtual machine a miss walks two page tables. With pages of 2 MiB the buffers
// reach over all of it. Measured on a 2-core virtual machine, see the benchmark: a random read in 256 MiB takes less
// than half the time.
//
// On the Go heap it would be garbage's licence as well: the collector lets the heap grow by GOGC percent of what is alive before it
// looks, so a filter of 2 GB allows 2 GB of garbage, in a library that makes next to none. (The way out, GOGC=20, belongs
// to the program that embeds us and not to us.)
//
// # Contract
//
//	n < 8 MiB     heap memory: the translation buffers cover it
//	n >= 8 MiB    a mapping of its own, aligned to 2 MiB, for which the kernel was asked for huge pages; where there is
//	              none to be had, heap memory
//
// A mapping has to be unmapped by somebody. Its owner is the [Memory]: when that is unreachable, the collector has it unmapped.
// Slices of it do not keep it: whoever keeps them keeps the Memory beside them, and is kept himself until the last look
// (runtime.KeepAlive). The bytes hold no pointers.
//
// The kernel may say no to huge pages, or not know how: then it is memory like any other. That is not an error.
//
// Huge pages come with the first write to each 2 MiB; that write takes some 100 us, in which the kernel zeroes them.
package hugepage
