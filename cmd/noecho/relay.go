package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kslog"

	"noecho/cmd/noecho/internal/admin"
	"noecho/cmd/noecho/internal/config"
	"noecho/cmd/noecho/internal/connect"
	"noecho/cmd/noecho/internal/demo"
	"noecho/cmd/noecho/internal/httpd"
	"noecho/cmd/noecho/internal/metrics"
	"noecho/engine"
	"noecho/kafka"
)

// httpClose is how long a scrape that is under way may hold up the end of the process.
const httpClose = 2 * time.Second

// relay is `noecho run` with a configuration that is right.
func relay(parent context.Context, c *config.Loaded, stderr io.Writer) (err error) {
	log := newLogger(stderr, &c.Config)
	ctx, stop := untilSignal(parent, log, func() { os.Exit(exitFailed) })
	defer stop()

	client, err := connect.Options(&c.Config)
	if err != nil {
		return usageError{err}
	}
	client = append(client, kgo.WithLogger(kslog.New(clientLogger(log))))
	greet(log, c)

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.BuildInfo(debug.ReadBuildInfo()))
	durations := metrics.NewDurations(registry)
	h := &health{}
	s, err := openStore(c, log, engine.Events{Check: durations.Check, Fsync: durations.Fsync, Poisoned: h.poison})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.close(); cerr != nil && err == nil {
			err = cerr
		}
	}()
	r, err := newRelay(c, s, client, log)
	if err != nil {
		return err
	}
	registry.MustRegister(&metrics.Collector{Input: c.Input, Output: c.Output, Duplicates: c.DuplicatesTopic, Changelog: c.ChangelogTopic, Window: c.Window, Engine: s.metrics, Relay: r.Stats})
	h.stats = r.Stats
	closeServer, err := serve(ctx, c, log, registry, h)
	if err != nil {
		return err
	}
	defer closeServer()
	closeAdmin, err := serveAdmin(ctx, c, log, r, h)
	if err != nil {
		return err
	}
	defer closeAdmin()

	if err := r.Preflight(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	log.Info("relaying", "input", c.Input, "output", c.Output, "group", c.Group, "key", c.Key, "window", config.ShortDuration(c.Window), "store", s.id,
		"mode", c.Mode, "on_duplicate", c.OnDuplicate, "scope", c.Scope)
	if err := r.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped; everything read is committed")
	return nil
}

// greet logs what an operator should know before anything starts.
func greet(log *slog.Logger, c *config.Loaded) {
	log.Info("noecho", "version", build(debug.ReadBuildInfo()), "data_dir", c.DataDir)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	if connect.PasswordInClear(&c.Config) {
		log.Warn("sasl_mechanism PLAIN without tls: the password crosses the network in clear; add --tls, or use SCRAM-SHA-512")
	}
	if c.TLSInsecureSkipVerify {
		log.Warn("tls_insecure_skip_verify is on: whoever sits between here and the brokers can read and change the stream")
	}
}

func engineOptions(c *config.Loaded, log *slog.Logger, events engine.Events) engine.Options {
	o := engine.Options{
		Window: c.Window, Buckets: c.Buckets, Refresh: c.Refresh, MaxKeys: c.MaxKeys, MaxBytes: int64(c.MaxBytes),
		MaxClockLead: c.MaxClockLead, Hash: c.Hash, KeySpec: c.Key, Filter: c.Filter, FilterBits: c.FilterBits, ExpectedKeys: c.ExpectedKeys, Trail: c.Trail,
		MemoryBytes: int64(c.MemoryBytes), CacheBytes: int64(c.CacheBytes), SegmentBytes: int64(c.SegmentBytes),
		Logger: log, Events: events,
	}
	if c.OnFull == "fail" {
		o.OnFull = engine.Fail
	}
	o.Seed, _ = c.Seed() // validated
	return o
}

func newRelay(c *config.Loaded, s *openedStore, client []kgo.Opt, log *slog.Logger) (*kafka.Relay, error) {
	cfg, err := c.Relay()
	if err != nil {
		return nil, usageError{err}
	}
	cfg.Engine, cfg.Client, cfg.InstanceID, cfg.Logger = s.engine, client, s.instanceID, log
	r, err := kafka.NewRelay(cfg)
	var mistakes *kafka.ConfigError
	if errors.As(err, &mistakes) {
		return nil, usageError{err} // a rule that takes the store to know
	}
	return r, err
}

// serve starts the metrics server, unless it is off, and returns what stops it.
func serve(ctx context.Context, c *config.Loaded, log *slog.Logger, g prometheus.Gatherer, h *health) (stop func(), err error) {
	if c.MetricsAddr == config.Off {
		return func() {}, nil
	}
	s, err := httpd.Start(httpd.Options{
		Addr: c.MetricsAddr, Pprof: c.Pprof, Gatherer: g, Alive: h.alive, Note: h.note, Logger: log,
		Ready: func() error { return h.ready(ctx) },
	})
	if err != nil {
		return nil, err
	}
	log.Info(demo.MetricsMessage, "addr", s.Addr(), "pprof", c.Pprof)
	if c.Pprof && !s.Loopback() {
		log.Warn("pprof can be reached from other machines: it shows memory contents and costs CPU", "addr", s.Addr())
	}
	return closing(s, log), nil
}

// serveAdmin does the same for the admin endpoint.
func serveAdmin(ctx context.Context, c *config.Loaded, log *slog.Logger, r *kafka.Relay, h *health) (stop func(), err error) {
	if c.AdminAddr == config.Off {
		return func() {}, nil
	}
	s, err := httpd.StartAdmin(c.AdminAddr, admin.Handler(admin.Options{
		Relay: r, Addr: c.AdminAddr, Log: log, Ready: func() error { return h.ready(ctx) },
		About: about(c),
	}), log)
	if err != nil {
		return nil, err
	}
	log.Info("serving the admin endpoint", "addr", s.Addr())
	if !s.Loopback() {
		log.Warn("the admin endpoint can be reached from other machines, and has no login: whoever reaches it can let duplicates through", "addr", s.Addr())
	}
	return closing(s, log), nil
}

// about is what a status says of the settings.
func about(c *config.Loaded) admin.Status {
	s := admin.Status{OnDuplicate: c.OnDuplicate, Input: c.Input, Output: c.Output, DuplicatesTopic: c.DuplicatesTopic, Group: c.Group,
		GroupProtocol: c.GroupProtocol, Fencing: c.Fencing}
	if c.ChangelogTopic != "" {
		s.Changelog = &admin.Changelog{Topic: c.ChangelogTopic, Standby: c.Standby}
	}
	return s
}

func closing(s *httpd.Server, log *slog.Logger) func() {
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpClose)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			log.Warn("closing a server", "err", err)
		}
	}
}
