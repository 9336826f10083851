// Package hugepage takes memory that is read and written all over, so that the kernel backs it with huge pages.
//
// # Why
//
// A filter of 200 MB or a table of 100 MB is touched at random. With pages of 4 KiB each touch misses the translation
// buffers as well as the caches, and in a virtual machine a miss walks two page tables. With pages of 2 MiB the buffers
// reach over all of it. Measured on a 2-core virtual machine, see the benchmark: a random read in 256 MiB takes less
// than half the time.
//
// # Contract
//
//	n < 8 MiB     heap memory as ever: the buffers cover it
//	n >= 8 MiB    heap memory, aligned to 2 MiB, for which the kernel was asked for huge pages
//
// The naive way, an anonymous mapping, has to be unmapped by somebody, and nobody owns a filter that closely. So the memory
// comes from the Go heap, belongs to the collector (it holds no pointers and is never scanned), and counts as heap. The
// kernel may say no, or not know how: then it is memory like any other. That is not an error.
//
// Huge pages come with the first write to each 2 MiB; that write takes some 100 us, in which the kernel zeroes them.
package hugepage
