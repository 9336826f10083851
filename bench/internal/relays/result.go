package relays

import (
	"fmt"
	"time"
)

// Result is what one run showed.
type Result struct {
	Name string `json:"name"`
	In   int    `json:"records"` // of the input

	// Since the start of the process: when a twentieth of the output was there, and when all of it.
	FlowFrom time.Duration `json:"flow_from_ns"`
	End      time.Duration `json:"end_ns"`
	FlowAt   float64       `json:"flow_at"` // share of the output that was there at FlowFrom

	Used Usage         `json:"used"`   // until the last record is in the output
	CPU  time.Duration `json:"cpu_ns"` // of the relay, with its end
	RSS  int64         `json:"rss_bytes"`
}

// Usage is processor time; 0: not known.
type Usage struct {
	Relay   time.Duration `json:"relay_ns"`
	Broker  time.Duration `json:"broker_ns"`
	Machine time.Duration `json:"machine_ns"`
	Idle    time.Duration `json:"idle_ns"`
}

func (u Usage) minus(v Usage) Usage {
	return Usage{u.Relay - v.Relay, u.Broker - v.Broker, u.Machine - v.Machine, u.Idle - v.Idle}
}

// Others is the share of the machine that neither the relay nor the broker has used.
func (u Usage) Others() float64 {
	if u.Machine == 0 {
		return 0
	}
	return float64(u.Machine-u.Relay-u.Broker) / float64(u.Machine+u.Idle)
}

// Header of a table of results.
const Header = `                                                       processor us a record    others  memory
relay           whole s  records/s  flow s  records/s  relay  to end  broker        %    MiB`

// String is the line of the table.
func (r Result) String() string {
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(r.In) }
	return fmt.Sprintf("%-14s %8.2f %10.0f %7.2f %10.0f %6.2f %7.2f %7.2f %8.0f %6d", r.Name, r.End.Seconds(), Whole([]Result{r}),
		(r.End - r.FlowFrom).Seconds(), Flow([]Result{r}), each(r.Used.Relay), each(r.CPU), each(r.Used.Broker), r.Used.Others()*100, r.RSS>>20)
}

// Flow is input records a second while the output grows, over all runs.
func Flow(runs []Result) float64 {
	var records float64
	var d time.Duration
	for _, r := range runs {
		records += float64(r.In) * (1 - r.FlowAt)
		d += r.End - r.FlowFrom
	}
	return records / d.Seconds()
}

// Whole is input records a second from the start of the process to the last output record, over all runs.
func Whole(runs []Result) float64 {
	var records float64
	var d time.Duration
	for _, r := range runs {
		records += float64(r.In)
		d += r.End
	}
	return records / d.Seconds()
}
