package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/relays"
)

// cost is what a plain consumer takes with and without the question, by rusage of its process.
type cost struct {
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

// compareCost runs the consumer with and without the engine, in turns.
func compareCost(ctx context.Context, b *relays.Bench, dir, input, handler string, rounds int) (cost, error) {
	var with, without []consumed
	for round := range rounds {
		for _, question := range []bool{round%2 == 0, round%2 != 0} {
			filter := "none"
			if question {
				filter = "engine:" + filepath.Join(dir, fmt.Sprintf("cost-%s-%s-%d", b.Topic, handler, round))
			}
			c, err := consume(ctx, b, filter, handler)
			if err != nil {
				return cost{}, err
			}
			if question {
				with = append(with, c)
			} else {
				without = append(without, c)
			}
		}
	}
	return newCost(input, handler, without, with), nil
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

func consume(ctx context.Context, b *relays.Bench, filter, handler string) (c consumed, err error) {
	cmd := exec.CommandContext(ctx, b.Self, "consumer", b.Brokers, b.Topic, itoa(int64(b.Records)), filter, handler)
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		return c, fmt.Errorf("consumer with %s: %w\n%s", filter, err, said)
	}
	return c, nil
}
