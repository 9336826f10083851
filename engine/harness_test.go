package engine_test

import (
	"context"
	"fmt"

	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/model"
	"noecho/internal/testutil"
)

// testOptions are small in everything, so that seals, evictions, segments and lookups in the index really happen.
func testOptions(fs *testutil.FS) engine.Options {
	return engine.Kept(engine.Options{
		Window: 600 * time.Millisecond, Buckets: 6, MaxClockLead: -1, FS: fs,
		MemoryBytes: 2 << 20, CacheBytes: 1 << 20, SegmentBytes: 16 << 10, Trail: true,
	})
}

// store is an engine under test with one partition.
type store struct {
	t   testing.TB
	fs  *testutil.FS
	opt engine.Options
	e   *engine.Engine
	p   *engine.Partition
}

func openStore(t testing.TB, o engine.Options) *store {
	t.Helper()
	s := &store{t: t, opt: o, fs: o.FS.(*testutil.FS)}
	s.open()
	t.Cleanup(func() {
		if s.e != nil {
			s.close()
		}
	})
	return s
}

func (s *store) open() {
	s.t.Helper()
	e, err := engine.Open("data", s.opt)
	require.NoError(s.t, err)
	p, err := e.Partition("t", 0)
	require.NoError(s.t, err)
	s.e, s.p = e, p
}

// close closes the store and checks it: the index must be sound, and the report must agree with what the handle said.
func (s *store) close() {
	s.t.Helper()
	start, to := s.p.Coverage()
	committed := s.p.Committed()
	require.NoError(s.t, s.p.Close())
	require.NoError(s.t, s.e.Close())
	s.e, s.p = nil, nil
	rep, err := engine.InspectFS(s.fs, "data")
	require.NoError(s.t, err)
	require.Len(s.t, rep.Partitions, 1)
	require.Equal(s.t, start, rep.Partitions[0].Start)
	require.Equal(s.t, to, rep.Partitions[0].To)
	require.Equal(s.t, committed, rep.Partitions[0].Committed)
	require.NoError(s.t, engine.CheckIndex(s.fs, "data"))
}

func (s *store) reopen() {
	s.t.Helper()
	s.close()
	s.open()
}

// crash goes on with what a power failure leaves. The old engine is closed on its own file system: it is history.
func (s *store) crash(percent int, seed uint64) {
	s.t.Helper()
	fs := s.fs.Crash(percent, seed)
	s.abandon()
	s.fs, s.opt.FS = fs, fs
	s.open()
}

// abandon closes an engine whose file system does not matter any more.
func (s *store) abandon() {
	_ = s.e.Close() // it may have been failed on purpose
	s.e, s.p = nil, nil
}

func (s *store) check(recs []model.Record) []engine.Verdict {
	s.t.Helper()
	out, err := s.p.Check(records(recs), nil)
	require.NoError(s.t, err)
	require.Len(s.t, out, len(recs))
	return out
}

// commit commits, every other time in two steps.
func (s *store) commit(next int64) {
	s.t.Helper()
	if next%2 == 0 {
		require.NoError(s.t, s.p.Commit(context.Background(), next))
		return
	}
	ticket, err := s.p.CommitStart(next)
	require.NoError(s.t, err)
	require.NoError(s.t, s.p.CommitWait(context.Background(), ticket))
}

func records(recs []model.Record) []engine.Record {
	out := make([]engine.Record, len(recs))
	for i, r := range recs {
		out[i] = engine.Record{Key: []byte(r.Key), Offset: r.Offset, Timestamp: r.Timestamp}
	}
	return out
}

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	FailNow()
}

// same compares a verdict of the engine with one of the rule.
func same(t failer, want model.Verdict, got engine.Verdict, what string, args ...any) {
	t.Helper()
	if want.Drop != (got.Kind == engine.Duplicate) || want.First != got.First {
		t.Fatalf("%s: want %+v, got %v of %d", fmt.Sprintf(what, args...), want, got.Kind, got.First)
	}
}
