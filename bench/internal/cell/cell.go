package cell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/usage"
	"noecho/bench/internal/workload"
)

// Spec of a cell.
type Spec struct {
	Peer     string
	Workload string
	Records  int64   // at most
	Seconds  float64 // at most, for the past and the run each; 0: no limit
	Dir      string  // the store's directory is made in it and removed
	Redis    string  // the server's binary
}

// Result of one run of a cell.
type Result struct {
	Peer     string `json:"peer"`
	Workload string `json:"workload"`

	Records    int64   `json:"records"`
	Duplicates int64   `json:"duplicates"`
	Keys       int64   `json:"keys"` // in the store at the end
	Seconds    float64 `json:"seconds"`
	Rate       float64 `json:"rate"` // records a second

	CPUNs        float64 `json:"cpu_ns"`           // a record, peer and driver, background work included
	ServerCPUNs  float64 `json:"server_cpu_ns"`    // of it by the server beside
	Allocs       float64 `json:"allocs"`           // a record, in this process
	MemoryBytes  float64 `json:"memory_bytes"`     // a key in the store
	ServerMemory float64 `json:"server_memory"`    // of it in the server beside
	DiskBytes    float64 `json:"disk_bytes"`       // a key in the store
	WrittenBytes float64 `json:"written_bytes"`    // a record
	Settling     float64 `json:"settling_seconds"` // time the peer took for what it had put off

	Latency []measure.Percentile `json:"latency"` // of a batch
	Life    []measure.Slice      `json:"life"`
}

// settleFor bounds the wait for compactions.
const settleFor = 3 * time.Minute

// Run measures a cell. It is meant to have a process of its own.
func Run(ctx context.Context, spec Spec, tell func(child.Progress)) (r Result, err error) {
	k, err := peer.Find(spec.Peer)
	if err != nil {
		return r, err
	}
	w, ok := workload.Find(spec.Workload)
	if !ok {
		return r, &UnknownError{Workload: spec.Workload}
	}
	dir, err := os.MkdirTemp(spec.Dir, "cell-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		return r, err
	}
	p, err := k.Open(ctx, peer.Config{Dir: store, Partitions: w.Partitions, Cold: w.Cold, Redis: spec.Redis})
	if err != nil {
		return r, err
	}
	run := &run{spec: spec, kind: k, workload: w, peer: p, tell: tell}
	if err = run.measure(ctx); err == nil {
		err = p.Close()
	} else {
		_ = p.Close()
	}
	if err != nil {
		return r, err
	}
	run.result.DiskBytes = per(float64(usage.Disk(store)), run.result.Keys)
	return run.result, nil
}

// run is a cell under way.
type run struct {
	spec     Spec
	kind     peer.Kind
	workload workload.Workload
	peer     peer.Peer
	tell     func(child.Progress)
	result   Result
}

func (r *run) measure(ctx context.Context) (err error) {
	past := int64(r.workload.Past * float64(r.spec.Records))
	d := &Drive{Kind: r.kind, Workload: r.workload, For: time.Duration(r.spec.Seconds * float64(time.Second))}
	for i := range int32(r.workload.Partitions) {
		w, err := r.peer.Worker(i)
		if err != nil {
			return err
		}
		d.Workers = append(d.Workers, w)
		d.Sources = append(d.Sources, r.workload.NewSource(i, (past+r.spec.Records)/int64(r.workload.Partitions)+1))
	}
	defer func() {
		for _, w := range d.Workers {
			err = errors.Join(err, w.Close())
		}
	}()
	memory, remote := usage.Trimmed(), r.remoteMemory()

	before := int64(0)
	if past > 0 {
		d.Fill, d.Records, d.Tell = (*workload.Source).Past, past, r.telling("past", past)
		p, err := d.Run(ctx)
		if err != nil {
			return err
		}
		if before = p.Records; r.workload.Cold {
			if err := r.settle(ctx); err != nil {
				return err
			}
		}
	}
	d.Fill, d.Records, d.Tell = (*workload.Source).Fill, r.spec.Records, r.telling("run", r.spec.Records)
	self, server := usage.Self(), r.remoteUsage()
	p, err := d.Run(ctx)
	if err != nil {
		return err
	}
	allocs := usage.Self().Sub(self).Mallocs
	begin := time.Now()
	if err := r.settle(ctx); err != nil {
		return err
	}
	r.result.Settling = time.Since(begin).Seconds()
	r.account(p, before, usage.Self().Sub(self), r.remoteUsage().Sub(server))
	r.result.Allocs = per(float64(allocs), p.Records)
	r.result.ServerMemory = per(float64(r.remoteMemory()-remote), r.result.Keys)
	r.result.MemoryBytes = per(float64(usage.Trimmed()-memory), r.result.Keys) + r.result.ServerMemory
	return nil
}

// account writes down the phase.
func (r *run) account(p Phase, before int64, self, server usage.Snapshot) {
	x := &r.result
	x.Peer, x.Workload = r.kind.Name, r.workload.Name
	x.Records, x.Duplicates, x.Keys = p.Records, p.Duplicates, before+p.Records-p.Duplicates
	x.Seconds = p.Elapsed.Seconds()
	x.Rate = float64(p.Records) / x.Seconds
	x.CPUNs = per(float64(self.CPU+server.CPU), p.Records)
	x.ServerCPUNs = per(float64(server.CPU), p.Records)
	x.WrittenBytes = per(float64(self.Written+server.Written), p.Records)
	x.Latency = p.Latencies.Percentiles()
	x.Life = p.Slices
}

func (r *run) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	if err := r.peer.Settle(ctx); err != nil {
		return fmt.Errorf("%s did not come to rest: %w", r.kind.Name, err)
	}
	return nil
}

func (r *run) telling(what string, of int64) func(int64, time.Duration) {
	return func(done int64, elapsed time.Duration) {
		share := float64(done) / float64(of)
		if r.spec.Seconds > 0 {
			share = max(share, elapsed.Seconds()/r.spec.Seconds)
		}
		r.tell(child.Progress{Done: min(share, 1), Note: what})
	}
}

func (r *run) remoteUsage() usage.Snapshot {
	if s, ok := r.peer.(peer.Remote); ok {
		return usage.Of(s.PID())
	}
	return usage.Snapshot{}
}

func (r *run) remoteMemory() int64 {
	if s, ok := r.peer.(peer.Remote); ok {
		n, err := s.Memory()
		if err == nil {
			return n
		}
	}
	return 0
}

func per(total float64, n int64) float64 {
	if n == 0 {
		return 0
	}
	return total / float64(n)
}
