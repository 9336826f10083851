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

	used usage         // until the last record is in the output
	cpu  time.Duration // of the relay, with its end
	rss  int64
}

// usage is processor time; 0: not known.
type usage struct{ relay, broker, machine, idle time.Duration }

func (u usage) minus(v usage) usage {
	return usage{u.relay - v.relay, u.broker - v.broker, u.machine - v.machine, u.idle - v.idle}
}

// others is the share of the machine that neither the relay nor the broker has used.
func (u usage) others() float64 {
	if u.machine == 0 {
		return 0
	}
	return float64(u.machine-u.relay-u.broker) / float64(u.machine+u.idle)
}

const header = `                                                   processor us a record    others  memory
relay       whole s  records/s  flow s  records/s  relay  to end  broker        %    MiB`

func (r result) String() string {
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(r.in) }
	return fmt.Sprintf("%-10s %8.2f %10.0f %7.2f %10.0f %6.2f %7.2f %7.2f %8.0f %6d", r.name, r.end.Seconds(), whole([]result{r}),
		(r.end - r.flowFrom).Seconds(), flow([]result{r}), each(r.used.relay), each(r.cpu), each(r.used.broker), r.used.others()*100, r.rss>>20)
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
