package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A second signal calls abort: an operator
// who asks twice does not want to wait for a broker that is gone. stop gives the signals back.
//
// signal.NotifyContext would do for the first, but leaves the second one without effect.
func untilSignal(parent context.Context, log *slog.Logger, abort func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case s := <-signals:
				if n > 0 {
					log.Warn("second signal: ending at once; the next start goes on from the last commit", "signal", s.String())
					abort()
					return
				}
				log.Info("draining and committing; a second signal ends at once", "signal", s.String())
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
