package main

import (
	"errors"
	"log/slog"
	"os"

	"noecho/cmd/noecho/internal/config"
	"noecho/engine"
	"noecho/kafka"
)

// openedStore is the engine, or what is there in its place where it cannot be opened and the mode is bypass.
type openedStore struct {
	engine     *engine.Engine // nil: there is none
	id         string         // "": not known
	instanceID string         // of the group's member
}

// openStore opens the data directory. With mode bypass a store that cannot be opened does not stop the records; but what is
// wrong with the configuration, or belongs to another process, does.
func openStore(c *config.Loaded, log *slog.Logger, events engine.Events) (*openedStore, error) {
	e, err := engine.Open(c.DataDir, engineOptions(c, log, events))
	if err == nil {
		return &openedStore{engine: e, id: e.ID(), instanceID: c.InstanceID}, nil
	}
	var mistakes *engine.OptionsError
	var other *engine.IncompatibleError
	switch {
	case errors.As(err, &mistakes):
		return nil, usageError{err} // a rule of the engine's that config does not know
	case c.Mode != string(kafka.ModeBypass), errors.As(err, &other), errors.Is(err, engine.ErrLocked):
		return nil, err
	}
	log.Error("the store cannot be opened: records pass unjudged until it is mended and noecho started again", "err", err)
	s := &openedStore{instanceID: c.InstanceID}
	if s.id, err = engine.StoreID(c.DataDir); err != nil {
		log.Warn("the store's id cannot be read either: partitions come when the session of the former member has timed out", "err", err)
	}
	if s.instanceID == "" && s.id != "" {
		s.instanceID = "noecho-" + s.id // the same member as ever: it has its partitions back at once
	}
	if s.instanceID == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		s.instanceID = "noecho-bypass-" + host
	}
	return s, nil
}

func (s *openedStore) metrics() engine.Metrics {
	if s.engine == nil {
		return engine.Metrics{}
	}
	return s.engine.Metrics()
}

func (s *openedStore) close() error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Close()
}
