package filters

import (
	"context"
	"fmt"
	"math"
	"time"

	bits "github.com/bits-and-blooms/bloom/v3"

	"noecho/bench/internal/child"
	"noecho/bench/internal/workload"
	"noecho/bloom"
)

// Names of what is compared.
const (
	Sliced  = "noecho sliced"
	Ring    = "noecho ring"
	Classic = "bits-and-blooms, one filter"
	Hashed  = "bits-and-blooms, one filter, hash given"
)

// All of them, in the order of reports.
var All = []string{Sliced, Ring, Classic, Hashed}

// planes that are full.
const planes = 7

// Spec of one measurement.
type Spec struct {
	Name string
	Keys int64   // in all planes together
	Bits float64 // a key; whole numbers for noecho's
}

// Result of one measurement.
type Result struct {
	Name           string  `json:"name"`
	Bits           float64 `json:"bits"`  // asked for
	Bytes          float64 `json:"bytes"` // taken, a key
	FalsePositives float64 `json:"false_positives"`
	AddNs          float64 `json:"add_ns"`
	TestNs         float64 `json:"test_ns"`  // of a key that is not there, one at a time
	BatchNs        float64 `json:"batch_ns"` // the same in batches of 64; 0: there is no such way
	Expires        bool    `json:"expires"`  // a bucket can be dropped without building anything again
}

// set is a filter under test. Records come with their hash, so that nobody pays for what another brings along.
type set interface {
	begin(plane int, keys int64)
	add(key []byte, h bloom.Hash, plane int)
	test(key []byte, h bloom.Hash) bool
	bytes() int64
}

// batched is a set that can be asked for a batch at once.
type batched interface {
	testAll(hs []bloom.Hash) (maybe int64)
}

const batch = 64

// Measure fills one filter and asks it. It is meant to have a process of its own.
func Measure(ctx context.Context, spec Spec, tell func(child.Progress)) (r Result, err error) {
	r = Result{Name: spec.Name, Bits: spec.Bits, Expires: spec.Name == Sliced || spec.Name == Ring}
	s, err := newSet(spec)
	if err != nil {
		return r, err
	}
	w, _ := workload.Find("new")
	src, b := w.NewSource(0, spec.Keys), w.NewBatch(batch)
	hs := make([]bloom.Hash, batch)
	var adding time.Duration
	for plane := range planes {
		s.begin(plane, spec.Keys/planes)
		for n := int64(0); n < spec.Keys/planes; n += batch {
			next(src, b, hs)
			start := time.Now()
			for i := range hs {
				s.add(b.Records[i].Key, hs[i], plane)
			}
			adding += time.Since(start)
		}
		tell(child.Progress{Done: float64(plane) / (2 * planes), Note: spec.Name})
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
	r.Bytes = float64(s.bytes()) / float64(spec.Keys)
	r.AddNs = float64(adding) / float64(spec.Keys)
	tell(child.Progress{Done: 0.5, Note: spec.Name})
	var maybe int64
	asked := min(spec.Keys, 8<<20) / batch * batch
	r.TestNs, maybe = ask(src, b, hs, asked, func() (maybe int64) {
		for i := range hs {
			if s.test(b.Records[i].Key, hs[i]) {
				maybe++
			}
		}
		return maybe
	})
	r.FalsePositives = float64(maybe) / float64(asked)
	if all, ok := s.(batched); ok {
		r.BatchNs, _ = ask(src, b, hs, asked, func() int64 { return all.testAll(hs) })
	}
	return r, nil
}

// next makes keys and their hashes. Both halves of a key are uniform and independent, so the key is its own hash; a real one
// costs 11 ns more, for whoever needs one.
func next(src *workload.Source, b *workload.Batch, hs []bloom.Hash) {
	src.Past(b, len(hs))
	for i := range hs {
		hs[i] = hashOf(b.Records[i].Key)
	}
}

// ask tests keys that were never added.
func ask(src *workload.Source, b *workload.Batch, hs []bloom.Hash, n int64, test func() int64) (ns float64, maybe int64) {
	var asking time.Duration
	for done := int64(0); done < n; done += batch {
		next(src, b, hs)
		start := time.Now()
		maybe += test()
		asking += time.Since(start)
	}
	return float64(asking) / float64(n), maybe
}

func newSet(spec Spec) (set, error) {
	switch spec.Name {
	case Sliced:
		return &ours{f: bloom.NewSliced(bloom.Options{BitsPerKey: int(spec.Bits)})}, nil
	case Ring:
		return &ours{f: bloom.NewRing(bloom.Options{BitsPerKey: int(spec.Bits)})}, nil
	case Classic, Hashed:
		m := uint(float64(spec.Keys) * spec.Bits)
		k := uint(max(1, math.Round(spec.Bits*math.Ln2)))
		f := bits.New(m, k)
		if spec.Name == Classic {
			return &classic{f}, nil
		}
		return &hashed{f: f, m: uint64(m), locations: make([]uint64, k)}, nil
	}
	return nil, fmt.Errorf("no filter is called %q", spec.Name)
}
