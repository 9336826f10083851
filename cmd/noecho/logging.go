package main

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"noecho/cmd/noecho/internal/config"
)

// newLogger makes the log of the process. c has been validated.
func newLogger(w io.Writer, c *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: logLevel(c.LogLevel)}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func logLevel(name string) (level slog.Level) {
	_ = level.UnmarshalText([]byte(strings.ToUpper(name))) // validated: one of the four names
	return level
}

// atLeast lets only records of a level or more through. The Kafka client's info is our debug: it tells of every
// metadata update and heartbeat, where an operator of noecho wants to read of noecho.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether both the level and the handler below want it.
func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup keeps the level.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}

// clientLogger is the log for the Kafka client: warnings and errors, everything at debug.
func clientLogger(log *slog.Logger) *slog.Logger {
	level := slog.LevelWarn
	if log.Enabled(context.Background(), slog.LevelDebug) {
		level = slog.LevelDebug
	}
	return slog.New(atLeast{log.Handler(), level}).With("part", "kafka client")
}
