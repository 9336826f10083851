package index

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// The tests in this file hold Pebble to what this package takes for granted. One
// that fails after an upgrade says which of our arguments to think over; none of
// them tests our own code.

func assumeDB(t *testing.T, fs vfs.FS, o *pebble.Options) *pebble.DB {
	t.Helper()
	o.FS = fs
	o.EnsureDefaults()
	o.FormatMajorVersion = formatVersion
	o.Logger = quietLogger{}
	db, err := pebble.Open("store", o)
	require.NoError(t, err)
	return db
}

type quietLogger struct{}

func (quietLogger) Infof(string, ...any)      {}
func (quietLogger) Errorf(string, ...any)     {}
func (quietLogger) Fatalf(f string, _ ...any) { panic(f) }

func assumeTable(t *testing.T, fs vfs.FS, o sstable.WriterOptions, fill func(w *sstable.Writer) error) string {
	t.Helper()
	f, err := fs.Create("table.sst", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o)
	require.NoError(t, fill(w))
	require.NoError(t, w.Close())
	return "table.sst"
}

func set(key string) func(w *sstable.Writer) error {
	return func(w *sstable.Writer) error { return w.Set([]byte(key), []byte("v")) }
}

func has(t *testing.T, db *pebble.DB, key string) bool {
	t.Helper()
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	defer it.Close()
	return it.SeekPrefixGE([]byte(key))
}

// Without a WAL, an ingest or an excise that overlaps the memtable is lost in a
// crash, unless DisableIngestAsFlushable is set. Our memtable is always empty;
// the option is the second lock on that door.
func TestAssumeFlushableIngestIsLost(t *testing.T) {
	for _, disable := range []bool{false, true} {
		for _, change := range []string{"ingest", "excise"} {
			mem := vfs.NewCrashableMem()
			noFlush := make(chan struct{}) // a flush in time would save the change
			if disable {
				close(noFlush)
			}
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, tableSuffix) &&
					strings.HasPrefix(op.Path, "store/") {
					<-noFlush
				}
				return nil
			}))
			o := &pebble.Options{DisableWAL: true}
			o.Experimental.DisableIngestAsFlushable = func() bool { return disable }
			db := assumeDB(t, fs, o)
			path := assumeTable(t, mem, o.MakeWriterOptions(0, db.TableFormat()), set("a"))
			require.NoError(t, db.Ingest(ctxb, []string{path}))
			require.NoError(t, db.Set([]byte("b"), nil, pebble.NoSync))
			require.NoError(t, db.Set([]byte("y"), nil, pebble.NoSync))
			switch change {
			case "ingest":
				path = assumeTable(t, mem, o.MakeWriterOptions(0, db.TableFormat()), set("b"))
				require.NoError(t, db.Ingest(ctxb, []string{path}))
			case "excise":
				require.NoError(t, db.Excise(ctxb, pebble.KeyRange{Start: []byte("a"), End: []byte("z")}))
			}
			crash := mem.CrashClone(vfs.CrashCloneCfg{})
			if !disable {
				close(noFlush)
			}
			require.NoError(t, db.Close())
			db = assumeDB(t, crash, &pebble.Options{})
			survived := has(t, db, "b")
			if change == "excise" {
				survived = !has(t, db, "a")
			}
			require.Equal(t, disable, survived, "%s, disabled: %v", change, disable)
			require.NoError(t, db.Close())
		}
	}
}

// A Delete written with the options of L6 is marked obsolete, and is not seen
// when its table lands above L6: this is why all our tables are written with the
// options of L0.
func TestAssumeL6DeleteIsInvisible(t *testing.T) {
	for _, level := range []int{0, 6} {
		mem := vfs.NewMem()
		o := &pebble.Options{DisableWAL: true, DisableAutomaticCompactions: true}
		db := assumeDB(t, mem, o)
		wo := o.MakeWriterOptions(level, db.TableFormat())
		require.NoError(t, db.Ingest(ctxb, []string{assumeTable(t, mem, wo, set("a"))}))
		require.NoError(t, db.Ingest(ctxb, []string{assumeTable(t, mem, wo, func(w *sstable.Writer) error {
			// A table's first key is never looked at.
			return errors.Join(w.Set([]byte("0"), nil), w.Delete([]byte("a")))
		})}))
		require.Equal(t, level == 6, has(t, db, "a"), "options of level %d", level)
		require.NoError(t, db.Close())
	}
}

// Ingest is atomic over its files, and puts each on the lowest level it can.
func TestAssumeIngestLevels(t *testing.T) {
	x := open(t, Options{FS: vfs.NewMem(), tune: manual})
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1}), run(1, 2, Entry{1, 1, 1})},
		[]Meta{{Key: []byte("k")}}))
	m := x.Metrics()
	require.EqualValues(t, 3, m.Tables)
	require.Zero(t, m.L0Files, "first runs go to the bottom")
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1}), run(1, 3, Entry{1, 1, 1})}, nil))
	require.EqualValues(t, 1, x.Metrics().L0Files, "only the overlapping run goes to L0")
}

// An iterator is a snapshot, also against an excise, and holds its files.
func TestAssumeIteratorIsSnapshot(t *testing.T) {
	x := open(t, Options{FS: vfs.NewMem()})
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{1, 1, 1})}, nil))
	r, err := x.Reader()
	require.NoError(t, err)
	require.NoError(t, x.DropBuckets(ctxb, 1, 1, 2))
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{2, 2, 2})}, nil))
	_, ok, err := r.Get(1, 1, 1, 1)
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = r.Get(1, 1, 2, 2)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, r.Close())
}

// A closed DB panics instead of returning an error: hence our admission of calls.
func TestAssumeClosedPanics(t *testing.T) {
	db := assumeDB(t, vfs.NewMem(), &pebble.Options{})
	require.NoError(t, db.Close())
	require.Panics(t, func() { _ = db.Close() })
	require.Panics(t, func() { _, _ = db.NewIter(nil) })
}

// The default comparer takes a whole key as its prefix, so that SeekPrefixGE is
// an exact lookup.
func TestAssumeWholeKeyIsPrefix(t *testing.T) {
	key := []byte("any key")
	require.Equal(t, len(key), pebble.DefaultComparer.Split(key))
}

// The pinned format has tables of v6 and supports Excise.
func TestAssumeFormat(t *testing.T) {
	x := open(t, Options{FS: vfs.NewMem()})
	require.Equal(t, pebble.FormatTableFormatV6, x.db.FormatMajorVersion())
	require.Equal(t, sstable.TableFormatPebblev6, x.db.TableFormat())
	require.GreaterOrEqual(t, formatVersion, pebble.FormatVirtualSSTables)
}
