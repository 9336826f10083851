package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/stretchr/testify/require"
)

var pebbleSchema = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)

// encodeBlock writes a block as Pebble's table writer does: with takeBack, the
// last key is added and then left to the next block.
func encodeBlock(t testing.TB, schema *colblk.KeySchema, keys [][]byte, takeBack bool) []byte {
	t.Helper()
	var e colblk.DataBlockEncoder
	e.Init(schema)
	size := 0
	var prev []byte
	for i, k := range keys {
		c := e.KeyWriter.ComparePrev(k)
		if i > 0 {
			colblk.AssertKeyCompare(pebble.DefaultComparer, k, prev, c)
		}
		e.Add(pebble.MakeInternalKey(k, pebble.SeqNum(len(keys)-i), pebble.InternalKeyKindSet), k[:len(k)/2], block.InPlaceValuePrefix(c.PrefixEqual()), c, c.UserKeyComparison == 0)
		if i < len(keys)-1 || !takeBack {
			size = e.Size()
		}
		prev = k
	}
	rows := len(keys)
	if takeBack {
		rows--
	}
	b, last := e.Finish(rows, size)
	require.Equal(t, keys[rows-1], last.UserKey)
	data := append(make([]byte, 0, len(b)), b...)
	e.Reset()
	require.Equal(t, int32(1), e.KeyWriter.ComparePrev(keys[0]).UserKeyComparison)
	return data
}

// blockIter opens an encoded block.
func blockIter(t testing.TB, schema *colblk.KeySchema, data []byte) *colblk.DataBlockIter {
	t.Helper()
	aligned := alignedCopy(data)
	require.NoError(t, new(colblk.DataBlockValidator).Validate(aligned, pebble.DefaultComparer, schema))
	var d colblk.DataBlockDecoder
	d.Init(schema, aligned)
	var it colblk.DataBlockIter
	it.InitOnce(schema, pebble.DefaultComparer, nil)
	require.NoError(t, it.Init(&d, block.IterTransforms{}))
	return &it
}

// alignedCopy starts at an address that is a multiple of eight.
func alignedCopy(data []byte) []byte {
	words := make([]uint64, len(data)/8+1)
	buf := make([]byte, 8*len(words))
	return buf[:copy(buf, data)]
}

// requireSameBlock checks that a block of our schema answers like one of
// Pebble's, and like the sorted keys themselves.
func requireSameBlock(t testing.TB, keys, seeks [][]byte) {
	t.Helper()
	for _, takeBack := range []bool{false, true} {
		if takeBack {
			if len(keys) < 2 {
				return
			}
			keys = keys[:len(keys):len(keys)]
		}
		ours := blockIter(t, &keySchema, encodeBlock(t, &keySchema, keys, takeBack))
		theirs := blockIter(t, &pebbleSchema, encodeBlock(t, &pebbleSchema, keys, takeBack))
		n := len(keys)
		if takeBack {
			n--
		}
		i := 0
		for a, b := kv(ours.First()), kv(theirs.First()); a != "" || b != ""; a, b = kv(ours.Next()), kv(theirs.Next()) {
			require.Equal(t, b, a)
			require.Equal(t, keys[i], ours.KV().K.UserKey)
			i++
		}
		require.Equal(t, n, i)
		for a, b := kv(ours.Last()), kv(theirs.Last()); a != "" || b != ""; a, b = kv(ours.Prev()), kv(theirs.Prev()) {
			require.Equal(t, b, a)
			i--
		}
		require.Zero(t, i)
		for _, k := range seeks {
			require.Equal(t, kv(theirs.SeekGE(k, 0)), kv(ours.SeekGE(k, 0)), "%x", k)
			require.Equal(t, kv(theirs.Next()), kv(ours.Next()), "after %x", k)
			require.Equal(t, kv(theirs.SeekLT(k, 0)), kv(ours.SeekLT(k, 0)), "%x", k)
			require.Equal(t, theirs.IsLowerBound(k), ours.IsLowerBound(k), "%x", k)
		}
	}
}

// kv is an entry as text; empty for none. (Pebble does not export its type.)
func kv[T any](p *T) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%+v", *p)
}

func markKey(partition uint32, bucket, hi, lo uint64) []byte {
	var k [keyLen]byte
	putKey(&k, partition, bucket, hi, lo)
	return k[:]
}

func sortedKeys(keys [][]byte) [][]byte {
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// TestSchemaMarks: blocks of marks, of all widths and shapes of hashes.
func TestSchemaMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shapes := map[string]func(i int) (hi, lo uint64){
		"uniform":     func(int) (uint64, uint64) { return rng.Uint64(), rng.Uint64() },
		"48 bits":     func(int) (uint64, uint64) { return 0xabcd<<48 | rng.Uint64()>>16, rng.Uint64() },
		"8 bits":      func(int) (uint64, uint64) { return 1<<63 | rng.Uint64()>>56, rng.Uint64() },
		"one hi":      func(int) (uint64, uint64) { return 77, rng.Uint64() },
		"neighbours":  func(i int) (uint64, uint64) { return math.MaxUint64, uint64(i) },
		"exponential": func(i int) (uint64, uint64) { return 1 << (i % 64), rng.Uint64() },
		"far end":     func(i int) (uint64, uint64) { return []uint64{0, math.MaxUint64}[min(i, 1)], uint64(i) },
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 17, 200, 700} {
				var keys, seeks [][]byte
				for i := range n {
					hi, lo := shape(i)
					keys = append(keys, markKey(7, 9, hi, lo))
					if i%8 == 0 || n < 100 {
						seeks = append(seeks, markKey(7, 9, hi, lo), markKey(7, 9, hi, lo+1), markKey(7, 9, hi-1, lo), markKey(7, 9, hi+1, 0))
					}
				}
				keys = sortedKeys(keys)
				for _, k := range keys[:min(n, len(keys), 50)] {
					seeks = append(seeks, k, k[:27], k[:20], append(slices.Clone(k), 0), append(slices.Clone(k), 255))
				}
				seeks = append(seeks, otherSeeks()...)
				requireSameBlock(t, keys, seeks)
			}
		})
	}
}

// otherSeeks are bounds and keys of other buckets, as Pebble seeks them.
func otherSeeks() [][]byte {
	seeks := [][]byte{{}, {0}, {0, 0, 0, 7}, {0, 0, 0, 8}, {255}, bytes.Repeat([]byte{255}, keyLen+1)}
	for bucket := range uint64(12) {
		seeks = append(seeks, appendPrefix(nil, 7, bucket), markKey(7, bucket, 5, 5), markKey(8, bucket, 0, 0), appendBucketEnd(nil, 7, bucket))
	}
	return seeks
}

// TestSchemaOtherKeys: metas and everything else that is no mark, alone and
// mixed with marks, before and behind them.
func TestSchemaOtherKeys(t *testing.T) {
	meta := func(s string) []byte { return appendMetaKey(nil, []byte(s)) }
	long := bytes.Repeat([]byte{'x'}, 500)
	for name, keys := range map[string][][]byte{
		"metas":                   {meta(""), meta("a"), meta("ab"), meta(string(long))},
		"a meta as long as marks": {meta("123456789012345678901234"), meta("123456789012345678901235")},
		"marks, then longer":      {markKey(1, 1, 1, 1), markKey(1, 1, 1, 2), append(markKey(1, 1, 1, 2), 0)},
		"marks, then shorter":     {markKey(1, 1, 1, 1), markKey(1, 1, 1, 2), markKey(1, 1, 1, 3)[:27]},
		"two buckets":             {markKey(1, 1, 1, 1), markKey(1, 2, 0, 0), markKey(1, 2, 0, 1)},
		"meta, then marks":        {meta("a"), markKey(1, 1, 1, 1), markKey(1, 1, 1, 2)},
		"twenty bytes":            {{0x80, 0, 0, 1, 19: 1}, {0x80, 0, 0, 1, 19: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			seeks := append(otherSeeks(), slices.Clone(keys)...)
			for _, k := range keys {
				seeks = append(seeks, k[:len(k)-1], append(slices.Clone(k), 0))
			}
			requireSameBlock(t, sortedKeys(keys), seeks)
		})
	}
}

// FuzzSchema: any keys, in any mixture. Each is a kind, and bytes.
func FuzzSchema(f *testing.F) {
	f.Add([]byte("0aaaaaaaa1bbbbbbbb2cccccccc"), []byte("0aaaaaaaa3dddd"))
	f.Add(bytes.Repeat([]byte{2, 200, 100, 50, 25, 12, 6, 3, 1}, 9), []byte{})
	f.Fuzz(func(t *testing.T, in, at []byte) {
		if keys := sortedKeys(fuzzKeys(in)); len(keys) > 0 {
			requireSameBlock(t, keys, append(fuzzKeys(at), keys...))
		}
	})
}

func fuzzKeys(in []byte) (keys [][]byte) {
	for len(in) > 8 && len(keys) < 200 {
		kind, v := in[0]%8, binary.BigEndian.Uint64(in[1:])
		in = in[9:]
		switch kind {
		case 0:
			keys = append(keys, appendMetaKey(nil, binary.BigEndian.AppendUint64(nil, v)))
		case 1:
			keys = append(keys, markKey(2, v%3, v, v))
		case 2, 3:
			keys = append(keys, markKey(2, 1, v>>(v%64), v))
		case 4, 5:
			keys = append(keys, markKey(2, 1, v, v*v))
		case 6:
			keys = append(keys, markKey(2, 1, v, 0)[:1+v%(keyLen-1)])
		default:
			keys = append(keys, append(markKey(2, 1, v, 1), byte(v)))
		}
	}
	return keys
}

// TestSchemaDamage: a block whose checksum holds and whose columns do not fit
// is an error when it is read, never a crash.
func TestSchemaDamage(t *testing.T) {
	data := encodeBlock(t, &keySchema, [][]byte{markKey(1, 1, 1, 1), markKey(1, 1, 500, 2)}, false)
	column := bytes.Index(data, appendPrefix(nil, 1, 1)) - 1
	require.Equal(t, byte(2), data[column], "the width")
	for _, width := range []byte{0, 1, 3, 8, 9, 100, 255} {
		bad := alignedCopy(data)
		bad[column] = width
		var md block.Metadata
		require.Error(t, colblk.InitDataBlockMetadata(&keySchema, &md, bad), "width %d", width)
	}
}

// TestSchemaEmptyRawColumn: the column beside packed keys is one that Pebble
// can read.
func TestSchemaEmptyRawColumn(t *testing.T) {
	raw, end := colblk.DecodeRawBytes([]byte{emptyRaw, 0}, 0, 5)
	require.Equal(t, uint32(1), end)
	for i := range 5 {
		require.Empty(t, raw.At(i))
	}
}

// TestSchemaGolden: the bytes of both columns, as docs/format.md says.
func TestSchemaGolden(t *testing.T) {
	columns := func(keys ...[]byte) string {
		w := newKeyWriter()
		for i, k := range keys {
			w.WriteKey(i, k, 0, 0)
		}
		n := len(keys)
		buf := make([]byte, w.Size(n, 0))
		end := w.Finish(colPacked, n, 0, buf)
		require.Equal(t, uint32(len(buf)), w.Finish(colRaw, n, end, buf))
		return fmt.Sprintf("%x | %x", buf[:end], buf[end:])
	}
	require.Equal(t, "02 00000001 0000000000000002 0100000000000000 0000 0201 0300000000000000 0400000000000000 | 00",
		spaced(columns(markKey(1, 2, 1, 3), markKey(1, 2, 0x103, 4)), 2, 8, 16, 16, 4, 4, 16, 16))
	require.Equal(t, "ff | 01000507000000006e0000", columns([]byte("\x00\x00\x00\x00n"), []byte{0, 0}))
}

// spaced puts a space behind each of the lengths.
func spaced(s string, lengths ...int) string {
	var b strings.Builder
	for _, n := range lengths {
		if strings.HasPrefix(s, " ") {
			break
		}
		b.WriteString(s[:n])
		if s = s[n:]; !strings.HasPrefix(s, " ") {
			b.WriteString(" ")
		}
	}
	return b.String() + s
}

// TestSchemaReadsOldTables: tables in Pebble's schema are read and compacted
// together with ours.
func TestSchemaReadsOldTables(t *testing.T) {
	fs := leaks(t)
	x, err := Open("store", Options{FS: fs, tune: func(p *pebble.Options) {
		manual(p)
		p.KeySchema = pebbleSchema.Name
	}})
	require.NoError(t, err)
	old := randomEntries(1, 3000, 5)
	meta := Meta{Key: []byte("k"), Value: []byte("v")}
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, old...)}, []Meta{meta}))
	require.NoError(t, x.Close())

	x = open(t, Options{FS: fs, tune: manual})
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, randomEntries(2, 3000, 7)...)}, nil))
	m := newModel()
	m.metas["k"] = "v"
	for _, seed := range []uint64{1, 2} {
		for _, e := range randomEntries(seed, 3000, int64(3+2*seed)) {
			m.marks[mark{1, 1, e.Hi, e.Lo}] = e.Offset
		}
	}
	requireState(t, x, m)
	compactAll(t, x)
	requireState(t, x, m)
	tables, err := x.db.SSTables(pebble.WithProperties())
	require.NoError(t, err)
	for _, level := range tables {
		for _, table := range level {
			if bytes.HasPrefix(table.Smallest.UserKey, []byte{0, 0, 0, 1}) {
				require.Equal(t, KeySchemaName, table.Properties.KeySchemaName)
			}
		}
	}
}
