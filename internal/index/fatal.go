package index

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// fail records the first failure: later calls return a *FailedError, and
// OnFatal hears of it. It takes no lock that is held around a call into Pebble
// and never blocks, because it runs inside of Pebble.
func (x *Index) fail(cause error) {
	x.failOnce.Do(func() {
		x.cause = &FailedError{Dir: x.dir, Cause: cause}
		close(x.failed)
		x.opts.Logger.Error("index failed", "dir", x.dir, "err", cause)
		if x.opts.OnFatal != nil {
			go x.opts.OnFatal(x.cause)
		}
	})
}

// failure is the error of a failed index, nil while it works.
func (x *Index) failure() error {
	select {
	case <-x.failed:
		return x.cause
	default:
		return nil
	}
}

// call runs op, which calls into Pebble, on a goroutine of its own and returns
// its error, or a *FailedError if Pebble has frozen.
//
// Naive: call op directly. But Pebble reports a failed manifest by
// Logger.Fatalf, on the goroutine that called Ingest, with DB.mu held, and
// relies on it never to return: the caller would hang. And every other call
// that needs DB.mu, by any goroutine, even one that began before the failure,
// would hang behind it. So whatever may take DB.mu goes through here (or, for
// iterators, through the closer), and the frozen goroutine is left behind.
//
// When both are ready the result wins: what op said is certain.
func (x *Index) call(op func() error) error {
	done := make(chan error, 1)
	go func() { done <- op() }()
	select {
	case err := <-done:
		return x.wrap(err)
	case <-x.frozen:
	}
	select {
	case err := <-done:
		return x.wrap(err)
	default:
		return x.cause
	}
}

// wrap types an error of Pebble.
func (x *Index) wrap(err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) {
		return &CorruptionError{Dir: x.dir, Reason: "stored bytes do not match their checksum", Cause: err}
	}
	if errors.Is(err, pebble.ErrReadOnly) {
		return ErrReadOnly
	}
	return fmt.Errorf("index %q: %w", x.dir, err)
}

// pebbleLogger is Pebble's Logger.
type pebbleLogger struct{ x *Index }

func (l *pebbleLogger) Infof(format string, args ...any) {
	// Formatting is the cost: a busy store says something for each table.
	if l.x.opts.Logger.Enabled(l.x.ctx, slog.LevelDebug) {
		l.x.opts.Logger.Debug("pebble", "msg", fmt.Sprintf(format, args...))
	}
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.x.opts.Logger.Warn("pebble", "msg", fmt.Sprintf(format, args...))
}

// Fatalf is called when the manifest can't be written, and never returns.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	cause := &fatalError{msg: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			cause.cause = err
		}
	}
	l.x.freeze(cause)
}

// freeze fails the index and never returns, as Pebble requires of Fatalf: the
// code after it runs on state that is half changed. The choices, and why we
// block for ever:
//
//   - os.Exit (Pebble's default) kills a process that may have other work, and
//     says why on stderr only;
//   - panic can be recovered on our goroutines, but compactions and flushes run
//     on Pebble's, where it kills the process too;
//   - runtime.Goexit runs the deferred unlocks: DB.mu is free again, over a
//     version set that is neither the old nor the new, and Pebble's other
//     goroutines go on from there, up to the next panic;
//   - blocking keeps DB.mu held. That is what we want: it fences the broken
//     state off from all of Pebble. Our callers don't wait behind it (call),
//     and nothing more is written to the directory (gate).
//
// The price is that the store's memory, goroutines and file descriptors stay
// until the process ends.
func (x *Index) freeze(cause error) {
	x.gate.shut()
	x.fail(cause)
	x.freezeOnce.Do(func() { close(x.frozen) })
	select {}
}

// fatalError is a message of Fatalf that keeps the error it was made from.
type fatalError struct {
	msg   string
	cause error
}

func (e *fatalError) Error() string { return e.msg }
func (e *fatalError) Unwrap() error { return e.cause }

// listener hears what Pebble does in the background. Its functions run inside
// of Pebble, some under DB.mu: they don't block and don't call the store.
func (x *Index) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			x.backgroundErrors.Add(1)
			x.backgroundPause.Store(true)
			x.opts.Logger.Warn("index: background work failed, will be tried again",
				"dir", x.dir, "err", err)
		},
		// Pebble's default for this one is Fatalf: a flipped bit would exit.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			x.fail(&CorruptionError{Dir: x.dir, Reason: "file " + info.Path, Cause: info.Details})
		},
		CompactionEnd: func(pebble.CompactionInfo) {
			x.wakeL0()
			x.changed()
		},
		TableIngested: func(pebble.TableIngestInfo) { x.wakeL0() },
	}
}

// errorPause is how long compactions rest after one has failed.
const errorPause = time.Second

// pauseAfterError holds a compaction back that follows a failed one. Pebble puts
// the tables below L0 that took part aside for 30 s, but where there were none it
// tries again at once, and on a full disk again and again, a core busy and the
// log full. It is called where a compaction creates a table, without locks.
func (x *Index) pauseAfterError() {
	if !x.backgroundPause.Swap(false) {
		return
	}
	timer := time.NewTimer(errorPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
	}
}
