package docs_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"noecho/bloom"
	"noecho/engine"
	"noecho/internal/index"
)

var update = flag.Bool("update", false, "write the dumps in format.md anew: only for a new format version")

const formatPage = "format.md"

// block matches a fenced block that a test owns: the comment in front of it names it.
var block = regexp.MustCompile("(?s)<!-- test: ([a-z-]+) -->\n```[a-z]*\n(.*?)```\n")

// blocks are the named blocks of a page.
func blocks(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	found := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		require.NotContains(t, found, m[1], "a block of that name is there already")
		found[m[1]] = m[2]
	}
	return found
}

// requireBlock compares a block of format.md with what the code does.
func requireBlock(t *testing.T, name, got string) {
	t.Helper()
	want, ok := blocks(t, formatPage)[name]
	require.True(t, ok, "%s has no block %q", formatPage, name)
	if *update && want != got {
		text, err := os.ReadFile(formatPage)
		require.NoError(t, err)
		text = []byte(strings.Replace(string(text), want, got, 1))
		require.NoError(t, os.WriteFile(formatPage, text, 0o644))
		return
	}
	require.Equal(t, want, got, "%s, block %q: a change of the bytes is a new format version", formatPage, name)
}

// dump is hexdump -C without the text: 16 bytes a line, with the offset, from one offset to another.
func dump(b []byte, from, to int) string {
	var s strings.Builder
	for ; from < to; from += 16 {
		row := b[from:min(from+16, to)]
		text := fmt.Sprintf("% x", row)
		if len(row) > 8 {
			text = fmt.Sprintf("% x  % x", row[:8], row[8:])
		}
		fmt.Fprintf(&s, "%08x  %s\n", from, text)
	}
	return s.String()
}

// example is the store of the page, with the page's own header: seed and id are known, so every byte is.
func example(t *testing.T) (*vfs.MemFS, *engine.Engine, *engine.Partition) {
	t.Helper()
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("data", 0o700))
	write(t, fs, "data/NOECHO", []byte(blocks(t, formatPage)["header"]))
	seed, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	require.NoError(t, err)
	e, err := engine.Open("data", engine.Options{
		Window: 6 * time.Second, Buckets: 6, Seed: seed, KeySpec: "key", MaxClockLead: -1, FS: fs, SegmentBytes: 4096, MemoryBytes: 1 << 20,
	})
	require.NoError(t, err)
	p, err := e.Partition("orders", 0)
	require.NoError(t, err)
	require.NoError(t, p.SetLogID(engine.LogID([]byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"))))
	take := func(commit int64, records ...engine.Record) {
		_, err := p.Check(records, nil)
		require.NoError(t, err)
		require.NoError(t, p.Commit(context.Background(), commit))
	}
	take(3, engine.Record{Key: []byte("a"), Offset: 0, Timestamp: 1000},
		engine.Record{Key: []byte("b"), Offset: 1, Timestamp: 1500},
		engine.Record{Key: []byte("a"), Offset: 2, Timestamp: 1600})
	take(4, engine.Record{Key: []byte("c"), Offset: 3, Timestamp: 2100})
	return fs, e, p
}

func write(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(append([]byte(nil), b...))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func read(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

// TestFormatHeader: the header on the page is one the engine opens, and its checksum is made as the page says.
func TestFormatHeader(t *testing.T) {
	text := blocks(t, formatPage)["header"]
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &fields))
	require.Len(t, fields, 8)
	sum := fields["crc32c"]
	var compact strings.Builder
	for line := range strings.Lines(text) {
		compact.WriteString(strings.TrimSpace(strings.Replace(line, `": `, `":`, 1)))
	}
	empty := strings.Replace(compact.String(), fmt.Sprintf("%q", sum), `""`, 1)
	require.Equal(t, sum, fmt.Sprintf("%08x", crc32.Checksum([]byte(empty), crc32.MakeTable(crc32.Castagnoli))))

	fs, e, p := example(t)
	require.Equal(t, fields["id"], e.ID())
	require.NoError(t, p.Close())
	require.NoError(t, e.Close())
	require.Equal(t, text, string(read(t, fs, "data/NOECHO")), "the engine writes a header once")
}

// TestFormatDirectory: these files, and no others.
func TestFormatDirectory(t *testing.T) {
	fs, e, p := example(t)
	require.NoError(t, p.Close())
	require.NoError(t, e.Close())
	names, err := fs.List("data")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"NOECHO", "LOCK", "wal", "index", "filters"}, names)
	logs, err := fs.List("data/wal")
	require.NoError(t, err)
	require.Equal(t, []string{"00000000000000000001.wal"}, logs)
	filters, err := fs.List("data/filters")
	require.NoError(t, err)
	require.Equal(t, []string{"00000001.bloom"}, filters)
	require.Regexp(t, `^manifest MANIFEST-\d+ size \d+ crc32c [0-9a-f]{8}\n$`, string(read(t, fs, "data/index/CLEAN")))
	page, err := os.ReadFile(formatPage)
	require.NoError(t, err)
	require.Contains(t, string(page), "`manifest NAME size BYTES crc32c XXXXXXXX`")
	for _, name := range append(append(names, logs...), filters...) {
		require.Contains(t, string(page), name)
	}
}

// TestFormatLog: header, two frames, trailer.
func TestFormatLog(t *testing.T) {
	const path = "data/wal/00000000000000000001.wal"
	fs, e, p := example(t)
	b := read(t, fs, path)
	le := binary.LittleEndian
	require.Equal(t, "noechoWL", string(b[:8]))
	first := 32
	second := first + 24 + (int(le.Uint32(b[first+8:]))+7)&^7
	trailer := second + 24 + (int(le.Uint32(b[second+8:]))+7)&^7
	requireBlock(t, "segment-header", dump(b, 0, first))
	requireBlock(t, "frame", dump(b, first, second))
	requireBlock(t, "second-frame", dump(b, second, trailer))

	// The sums, as the page says they are made.
	crc := func(parts ...[]byte) uint32 {
		sum := uint32(0)
		for _, part := range parts {
			sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), part)
		}
		return sum
	}
	require.Equal(t, crc(b[:28]), le.Uint32(b[28:]))
	position := le.AppendUint64(nil, 1<<32|uint64(first))
	length := int(le.Uint32(b[first+8:]))
	require.Equal(t, crc(position, b[first+4:first+24]), le.Uint32(b[first:]))
	require.Equal(t, crc(b[first+24:first+24+length]), le.Uint32(b[first+4:]))

	require.NoError(t, p.Close())
	require.NoError(t, e.Close())
	requireBlock(t, "trailer", dump(read(t, fs, path), trailer, trailer+24))
}

// TestFormatIndex: all keys and values of the index, read with Pebble and the schema of its blocks alone.
func TestFormatIndex(t *testing.T) {
	fs, e, p := example(t)
	require.NoError(t, p.Close())
	require.NoError(t, e.Close())
	db, err := pebble.Open("data/index", &pebble.Options{
		FS: fs, ReadOnly: true, Logger: silent{}, KeySchema: index.KeySchemaName, KeySchemas: index.KeySchemas(),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	page, err := os.ReadFile(formatPage)
	require.NoError(t, err)
	require.Contains(t, string(page), fmt.Sprintf("format major version %d", db.FormatMajorVersion()))
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	var metas, marks strings.Builder
	for it.First(); it.Valid(); it.Next() {
		k, v := it.Key(), it.Value()
		if binary.BigEndian.Uint32(k) == 0 {
			fmt.Fprintf(&metas, "%x %x -> %x\n", k[:4], k[4:], v)
			continue
		}
		require.Len(t, k, 28)
		fmt.Fprintf(&marks, "%x %x %x -> %x\n", k[:4], k[4:12], k[12:], v)
	}
	require.NoError(t, it.Close())
	requireBlock(t, "index-meta", metas.String())
	requireBlock(t, "index-marks", marks.String())
}

// silent is a logger for Pebble.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// TestFormatFilter: the head of a saved filter; the rest is slots.
func TestFormatFilter(t *testing.T) {
	fs, e, p := example(t)
	require.NoError(t, p.Close())
	require.NoError(t, e.Close())
	b := read(t, fs, "data/filters/00000001.bloom")
	le := binary.LittleEndian
	tag := int(le.Uint64(b[24:]))
	slots := 32 + tag + 24 + 8*bloom.Planes
	requireBlock(t, "filter", dump(b, 0, slots))
	require.Len(t, b, slots+256*int(le.Uint64(b[32+tag:]))+8+4)
	require.Equal(t, crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)), le.Uint32(b[len(b)-4:]))
}

// TestFormatConstants: the table of versions and magic words against the sources and the golden files.
func TestFormatConstants(t *testing.T) {
	page, err := os.ReadFile(formatPage)
	require.NoError(t, err)
	for _, c := range []struct{ file, pattern, row string }{
		{"../engine/header.go", `const formatVersion = (\d+)`, "| data directory | `NOECHO`, field `format` | %s |"},
		{"../engine/meta.go", `const metaVersion = (\d+)`, "| state of a partition | first byte of its value | %s |"},
		{"../wal/format.go", `formatVersion += (\d+)`, "| log segment | bytes 8 to 11, magic `noechoWL` | %s |"},
		{"../wal/encoder.go", `payloadVersion += (\d+)`, "| frame payload | first 4 bytes | %s |"},
		{"../bloom/save.go", `formatVersion = (\d+)`, "| saved filter | bytes 8 and 9, magic `NOECHOBF` | %s |"},
		{"../bloom/plane_file.go", `planeVersion += (\d+)`, "| kept plane | bytes 8 and 9, magic `NOECHOPL` | %s |"},
		{"../internal/index/options.go", `formatVersion = pebble\.(\w+)`, "`%s`"},
		{"../internal/index/schema.go", `KeySchemaName = "([a-z0-9.]+)"`, "| blocks of the index | key schema of each sstable | `%s` |"},
		{"../wal/format.go", `MaxFrame = (\d+) << 20`, "at most %s MiB"},
	} {
		source, err := os.ReadFile(c.file)
		require.NoError(t, err)
		m := regexp.MustCompile(c.pattern).FindStringSubmatch(string(source))
		require.NotNil(t, m, "%s: no %s", c.file, c.pattern)
		require.Contains(t, string(page), fmt.Sprintf(c.row, m[1]))
	}
	for kind, golden := range map[byte]string{1: "../bloom/testdata/sliced.v3.golden", 2: "../bloom/testdata/ring.v3.golden"} {
		b, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, "NOECHOBF", string(b[:8]))
		require.Equal(t, []byte{3, 0, kind}, b[8:11])
		require.Contains(t, string(page), strings.TrimPrefix(golden, "../"))
	}
}
