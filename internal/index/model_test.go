package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/stretchr/testify/require"
)

// machine holds the index against two maps.
type machine struct {
	mem   *vfs.MemFS
	fs    *snapFS
	x     *Index
	state model

	held      *Reader // an old snapshot, or nil
	heldState model
}

func (m *machine) open(t *rapid.T) {
	threshold := rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "l0")
	x, err := Open("store", Options{FS: m.fs, CacheBytes: 1 << 20, tune: func(p *pebble.Options) {
		p.L0CompactionThreshold = threshold
		p.DisableAutomaticCompactions = rapid.Bool().Draw(t, "manual")
		for i := range p.Levels {
			p.Levels[i].BlockSize = 128 // so that a few keys make many blocks
			p.TargetFileSizes[i] = 1 << 10
		}
	}})
	require.NoError(t, err)
	m.x = x
}

var (
	genPartition = rapid.SampledFrom(testPartitions)
	genBucket    = rapid.Uint64Range(0, 5)
	genMark      = rapid.Custom(func(t *rapid.T) mark {
		return mark{
			partition: genPartition.Draw(t, "partition"), bucket: genBucket.Draw(t, "bucket"),
			hi: rapid.Uint64Range(0, 9).Draw(t, "hi") << 60, lo: rapid.Uint64Range(0, 3).Draw(t, "lo"),
		}
	})
	genOffset  = rapid.OneOf(rapid.Int64Range(-1, 3), rapid.Int64Min(-1))
	genMetaKey = rapid.StringMatching(`[ab]{0,2}`)
)

func (m *machine) do(t *rapid.T, s step) {
	require.NoError(t, s.do(m.x))
	m.state = s.apply(m.state)
}

func (m *machine) ingest(t *rapid.T) {
	m.do(t, step{
		entries: rapid.MapOfN(genMark, genOffset, 0, 40).Draw(t, "entries"),
		metas:   rapid.MapOfN(genMetaKey, rapid.String(), 0, 3).Draw(t, "metas"),
	})
}

func (m *machine) deleteMeta(t *rapid.T) {
	m.do(t, step{deletes: []string{genMetaKey.Draw(t, "key")}})
}

func (m *machine) drop(t *rapid.T) {
	m.do(t, step{drop: true, partition: genPartition.Draw(t, "partition"),
		from: genBucket.Draw(t, "from"), to: genBucket.Draw(t, "to")})
}

func (m *machine) dropPartition(t *rapid.T) {
	m.do(t, step{dropAll: true, partition: genPartition.Draw(t, "partition")})
}

func (m *machine) compact(t *rapid.T) {
	require.NoError(t, m.x.db.Compact(ctxb, appendPrefix(nil, 0, 0), appendPartitionEnd(nil, 5), false))
}

// hold keeps a snapshot, and checks the one held so far: it has not changed.
func (m *machine) hold(t *rapid.T) {
	if m.held != nil {
		for range 10 {
			k := genMark.Draw(t, "key")
			want, has := m.heldState.marks[k]
			offset, ok, err := m.held.Get(k.partition, k.bucket, k.hi, k.lo)
			require.NoError(t, err)
			require.Equal(t, has, ok)
			require.Equal(t, want, offset)
		}
		require.NoError(t, m.held.Close())
	}
	var err error
	m.held, err = m.x.Reader()
	require.NoError(t, err)
	m.heldState = m.state
}

func (m *machine) reopen(t *rapid.T) {
	require.NoError(t, m.x.Check())
	require.NoError(t, m.x.Close())
	m.held = nil // Close has closed it
	m.open(t)
}

// crash goes on from a crash clone: all that returned has to be there.
func (m *machine) crash(t *rapid.T) {
	percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced percent")
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	m.fs.mu.Lock() // compactions may be running
	clone := m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	m.fs.mu.Unlock()
	require.NoError(t, m.x.Close())
	m.held = nil
	m.mem, m.fs = clone, &snapFS{FS: clone}
	m.open(t)
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := vfs.NewCrashableMem()
		m := &machine{mem: mem, fs: &snapFS{FS: mem}, state: newModel()}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"ingest":         m.ingest,
			"ingest more":    m.ingest,
			"delete meta":    m.deleteMeta,
			"drop":           m.drop,
			"drop partition": m.dropPartition,
			"compact":        m.compact,
			"hold":           m.hold,
			"reopen":         m.reopen,
			"crash":          m.crash,
			"":               func(t *rapid.T) { requireState(t, m.x, m.state) },
		})
		require.NoError(t, m.x.Check())
		require.NoError(t, m.x.Close())
	})
}

// TestBucketsDoNotShareTables: whatever compactions do, a table holds marks of
// one bucket, or metas. So a drop frees whole files and leaves no virtual table.
func TestBucketsDoNotShareTables(t *testing.T) {
	x := open(t, Options{FS: leaks(t), tune: func(p *pebble.Options) { p.L0CompactionThreshold = 1 }})
	for i := range int64(6) {
		s := step{entries: map[mark]int64{}, metas: map[string]string{"a": fmt.Sprint(i), "z": fmt.Sprint(i)}}
		for _, p := range testPartitions {
			for b := range uint64(5) {
				s.entries[mark{p, b, 1, 1}], s.entries[mark{p, b, 9, 9}] = i, i
			}
		}
		require.NoError(t, s.do(x))
	}
	compactAll(t, x)
	m := x.Metrics()
	require.EqualValues(t, 1+5*len(testPartitions), m.Tables)
	for _, p := range testPartitions {
		require.NoError(t, x.DropBuckets(ctxb, p, 1, 3))
		require.NoError(t, x.DropBuckets(ctxb, p, 0, 1))
	}
	m = x.Metrics()
	require.Zero(t, m.VirtualTables)
	require.EqualValues(t, 1+2*len(testPartitions), m.Tables)
}
