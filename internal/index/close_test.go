package index

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
)

func TestClosed(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil))
	held, err := x.Reader()
	require.NoError(t, err)
	released, err := x.Reader()
	require.NoError(t, err)
	require.NoError(t, released.Close())
	_, _, err = released.Get(1, 1, 1, 1)
	require.ErrorIs(t, err, errReaderClosed)
	_, _, err = new(Reader).Get(1, 1, 1, 1)
	require.ErrorIs(t, err, errReaderClosed)

	require.NoError(t, x.Close())
	require.NoError(t, x.Close())
	for _, err := range everyCall(x) {
		require.ErrorIs(t, err, ErrClosed)
	}
	require.Zero(t, x.Metrics())
	for _, r := range []*Reader{held, released} {
		_, _, err = r.Get(1, 1, 1, 1)
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
		require.ErrorIs(t, x.ResetReader(r), ErrClosed)
	}
}

func TestReaderOfAnotherIndex(t *testing.T) {
	x, y := open(t, Options{FS: leaks(t)}), open(t, Options{FS: leaks(t)})
	r, err := x.Reader()
	require.NoError(t, err)
	require.ErrorAs(t, y.ResetReader(r), new(*InputError))
	require.NoError(t, r.Close())
}

// TestCloseInFullUse closes an index while goroutines make every call as fast as
// they can. Each ends with ErrClosed; nothing panics, hangs or leaks.
func TestCloseInFullUse(t *testing.T) {
	fs := leaks(t)
	for range 20 {
		x, err := Open("store", Options{FS: fs, tune: func(p *pebble.Options) { p.L0CompactionThreshold = 1 }})
		require.NoError(t, err)
		var running, done sync.WaitGroup
		worker := func(call func() error) {
			running.Add(1)
			done.Go(func() {
				err := call()
				running.Done()
				for err == nil {
					err = call()
				}
				require.ErrorIs(t, err, ErrClosed)
			})
		}
		var r Reader
		worker(func() error {
			if err := x.ResetReader(&r); err != nil {
				return err
			}
			_, _, err := r.Get(1, 1, 1, 1)
			return errors.Join(err, r.Close())
		})
		worker(func() error { return x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1}, Entry{2, 2, 2})}, nil) })
		worker(func() error { return x.DropBuckets(ctxb, 1, 1, 2) })
		worker(func() error { return x.Scan(ctxb, 1, 0, 9, func(uint64, Entry) error { return nil }) })
		worker(func() error { return x.WaitL0(ctxb, 1) })
		worker(func() error { _, err := x.DiskBytes(1, 0, 9); x.Metrics(); return err })
		running.Wait()
		within(t, "Close", func() { require.NoError(t, x.Close()) })
		within(t, "a call", done.Wait)
	}
}

func TestReadOnly(t *testing.T) {
	fs := leaks(t)
	_, err := Open("store", Options{FS: fs, ReadOnly: true})
	require.Error(t, err, "there is none yet")

	x, err := Open("store", Options{FS: fs})
	require.NoError(t, err)
	s := script()[1]
	require.NoError(t, s.do(x))
	require.NoError(t, x.Close())
	before := listAll(t, x)

	x = open(t, Options{FS: fs, ReadOnly: true})
	requireState(t, x, s.apply(newModel()))
	require.ErrorIs(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil), ErrReadOnly)
	require.ErrorIs(t, x.DropPartition(ctxb, 1), ErrReadOnly)
	require.ErrorIs(t, x.WaitL0(ctxb, 1), ErrReadOnly)
	require.NoError(t, x.Check())
	require.Equal(t, before, listAll(t, x))
}

func listAll(t *testing.T, x *Index) []string {
	t.Helper()
	ls, err := x.fs.List(x.dir)
	require.NoError(t, err)
	slices.Sort(ls)
	return ls
}

// TestLocked: a directory belongs to one index at a time.
func TestLocked(t *testing.T) {
	fs := leaks(t)
	x := open(t, Options{FS: fs})
	_, err := Open("store", Options{FS: fs})
	require.Error(t, err)
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil))
}

// TestBadEntries: bytes that are not ours, with a good checksum, are corruption.
func TestBadEntries(t *testing.T) {
	for _, entry := range [][2]string{
		{"\x00\x00\x00\x01short", ""},
		{"\x00\x00\x00\x01" + "bucket 8hash of 16 bytes", "\x00"},
		{"\x00\x00\x00\x01" + "bucket 8hash of 16 bytes", "longer than 8"},
	} {
		x, err := Open("store", Options{FS: leaks(t)})
		require.NoError(t, err)
		path, w, err := x.newTable(true)
		require.NoError(t, err)
		require.NoError(t, w.Add(pebble.MakeInternalKey([]byte(entry[0]), 0, pebble.InternalKeyKindSet), []byte(entry[1]), false))
		require.NoError(t, w.Close())
		require.NoError(t, x.db.Ingest(ctxb, []string{path}))
		require.ErrorAs(t, x.Check(), new(*CorruptionError))
		err = x.Scan(ctxb, 1, 0, 1<<63, func(uint64, Entry) error { return nil })
		require.ErrorAs(t, err, new(*CorruptionError))
		if _, bucket, hi, lo, ok := decodeKey([]byte(entry[0])); ok {
			r, err := x.Reader()
			require.NoError(t, err)
			_, _, err = r.Get(1, bucket, hi, lo)
			require.ErrorAs(t, err, new(*CorruptionError))
		}
		require.NoError(t, x.Close())
	}
}
