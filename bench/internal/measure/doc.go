// Package measure has the arithmetic of the bench: latencies in a histogram of high dynamic range, throughput over the life
// of a store, medians and spreads over rounds.
//
// A histogram keeps three significant digits from a nanosecond to a minute, in constant memory and without allocating, so that
// the worst batch of a hundred million records is as exact as the median; an average of percentiles, which is what one gets
// from merging summaries, would be none.
package measure
