// Package cell measures one peer on one workload: open, take in the past, run the clock, settle, close.
//
//	source ─ batch ─► Start ─► (batches in flight) ─► Wait ─► count of duplicates = what the source knows? ─► done
//	 one goroutine a partition                         another one, where batches may be in flight
//
// What is counted when:
//
//	throughput, latency    from the first Start to the last Wait; a batch is done when Wait has returned
//	allocations            the same span
//	CPU, bytes written     from the first Start until what the peer put off (flushes, compactions) is done as well
//	memory                 after a collection, with the store open, less what the process took with an empty store
//	disk                   allocated blocks of the directory after a clean close
//
// A run ends after so many records or so many seconds, whatever comes first: slow peers are measured on a smaller store,
// which is to their advantage.
package cell
