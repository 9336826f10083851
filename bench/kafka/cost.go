package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/relays"
)

// cost is what a consumer takes with the question and a plain one without it, by rusage of its process.
type cost struct {
	Form    string  `json:"form"`    // consumer: kafka.Consumer; engine: the bare engine in a plain loop
	Input   string  `json:"input"`   // new keys, or copies
	Handler string  `json:"handler"` // empty or json
	Without figure  `json:"without"`
	With    figure  `json:"with"`
	AddedNs float64 `json:"added_ns"` // processor time a record
	Ratio   float64 `json:"ratio"`    // of the throughputs
}

// figure is the median of the rounds.
type figure struct {
	CPUNs float64 `json:"cpu_ns"` // a record
	Rate  float64 `json:"rate"`
}

// forms in which the question is put.
var forms = []string{"consumer", "engine"}

// compareCost runs the consumer without the question and in each form with it, in turns.
func compareCost(ctx context.Context, b *relays.Bench, dir, input, handler string, rounds int) (costs []cost, err error) {
	runs := map[string][]consumed{}
	all := append([]string{"none"}, forms...)
	for round := range rounds {
		for i := range all {
			form := all[(i+round)%len(all)]
			store := filepath.Join(dir, fmt.Sprintf("cost-%s-%s-%s-%d", b.Topic, form, handler, round))
			c, err := consume(ctx, b, form+":"+store, handler)
			if err != nil {
				return nil, err
			}
			runs[form] = append(runs[form], c)
		}
	}
	for _, form := range forms {
		c := newCost(input, handler, runs["none"], runs[form])
		c.Form = form
		costs = append(costs, c)
	}
	return costs, nil
}

func newCost(input, handler string, without, with []consumed) cost {
	of := func(runs []consumed) figure {
		return figure{
			CPUNs: measure.MedianOf(runs, func(c consumed) float64 { return float64(c.CPU) / float64(c.Records) }),
			Rate:  measure.MedianOf(runs, func(c consumed) float64 { return float64(c.Records) / c.Took.Seconds() }),
		}
	}
	c := cost{Input: input, Handler: handler, Without: of(without), With: of(with)}
	c.AddedNs, c.Ratio = c.With.CPUNs-c.Without.CPUNs, c.With.Rate/c.Without.Rate
	return c
}

// groups counts the consumers: each is a group of its own, and begins at the start.
var groups atomic.Int64

func consume(ctx context.Context, b *relays.Bench, form, handler string) (c consumed, err error) {
	cmd := exec.CommandContext(ctx, b.Self, "consumer", b.Brokers, b.Topic, itoa(int64(b.Records)), form, handler, fmt.Sprintf("%s-%d", b.Topic, groups.Add(1)))
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		return c, fmt.Errorf("consumer with %s: %w\n%s", form, err, said)
	}
	return c, nil
}
