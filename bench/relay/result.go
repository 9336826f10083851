package main

import (
	"fmt"
	"time"
)

// result is what one run showed.
type result struct {
	name string
	in   int // input records

	flowFrom, end time.Duration // since the start of the process
	flowAt        float64       // share of the output that was there at flowFrom

	cpu time.Duration
	rss int64
}

const header = "relay     whole s    records/s  flow s  records/s  cpu s  us/record  max rss MiB"

func (r result) String() string {
	return fmt.Sprintf("%-8s %8.2f %12.0f %7.2f %10.0f %6.2f %10.2f %12d", r.name, r.end.Seconds(), whole([]result{r}),
		(r.end - r.flowFrom).Seconds(), flow([]result{r}), r.cpu.Seconds(), float64(r.cpu.Microseconds())/float64(r.in), r.rss>>20)
}

// flow is input records a second while the output grows, over all runs.
func flow(runs []result) float64 {
	var records float64
	var d time.Duration
	for _, r := range runs {
		records += float64(r.in) * (1 - r.flowAt)
		d += r.end - r.flowFrom
	}
	return records / d.Seconds()
}

// whole is input records a second from the start of the process to the last output record, over all runs.
func whole(runs []result) float64 {
	var records float64
	var d time.Duration
	for _, r := range runs {
		records += float64(r.in)
		d += r.end
	}
	return records / d.Seconds()
}
