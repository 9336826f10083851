package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"noecho/kafka"
)

// health answers the probes. It asks nobody who may be waiting for a disk: a probe that hangs says less than one that
// fails.
type health struct {
	stats    func() kafka.Stats    // set before the server starts
	poisoned atomic.Pointer[error] // by the engine's event; read by probes
}

// poison is the engine's event: the store has failed.
func (h *health) poison(err error) { h.poisoned.Store(&err) }

// alive reports the store's failure: the one thing that a restart is the remedy for. In bypass nobody needs the store, and a
// restart would stop what flows.
func (h *health) alive() error {
	if h.stats().Mode == kafka.ModeBypass {
		return nil
	}
	if p := h.poisoned.Load(); p != nil {
		return *p
	}
	return nil
}

// note tells a prober of a mode in which duplicates pass.
func (h *health) note() string {
	if mode := h.stats().Mode; mode != kafka.ModeActive {
		return "mode: " + string(mode)
	}
	return ""
}

// ready: partitions are assigned and all of them past their restore, they are this member's for sure, and nobody has asked us to stop (ctx).
func (h *health) ready(ctx context.Context) error {
	if err := h.alive(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("stopping")
	}
	s := h.stats()
	if len(s.Partitions) == 0 {
		return errors.New("no partition is assigned yet")
	}
	for i := range s.Partitions {
		if p := &s.Partitions[i]; p.State != kafka.StateRunning {
			return fmt.Errorf("partition %d is %s", p.Partition, p.State)
		}
	}
	if s.Unconfirmed {
		return errors.New("the group's coordinator does not confirm this member")
	}
	return nil
}
