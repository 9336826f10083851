package engine

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func sampleOptions(fs vfs.FS) Options {
	return Options{FS: fs, Window: time.Hour, Buckets: 6, Seed: []byte("0123456789abcdef"), Hash: HashXXH3, MemoryBytes: 1 << 20, CacheBytes: 1 << 20, SegmentBytes: 64 << 10}
}

func TestHeaderGolden(t *testing.T) {
	o := sampleOptions(vfs.NewMem()).withDefaults()
	h, err := newHeader(&o)
	require.NoError(t, err)
	h.ID = "00112233aabbccdd"
	h.CRC = h.checksum()
	require.NoError(t, writeHeader(o.FS, "", h))
	golden(t, "header.v1.golden", readAll(t, o.FS, headerName))
	got, ok, err := readHeader(o.FS, "")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, h, got)
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	f, err := fs.Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}

// rewrite changes a file.
func rewrite(t *testing.T, fs vfs.FS, path string, change func([]byte) []byte) {
	b := change(readAll(t, fs, path))
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// made returns a file system with a store in "data", closed.
func made(t *testing.T) *vfs.MemFS {
	fs := vfs.NewMem()
	e, err := Open("data", sampleOptions(fs))
	require.NoError(t, err)
	require.NoError(t, e.Close())
	return fs
}

// TestIncompatibleStore: each difference is named, with both sides and a way out.
func TestIncompatibleStore(t *testing.T) {
	fs := made(t)
	cases := []struct {
		field, store, given string
		set                 func(*Options)
	}{
		{"hash", "xxh3", "siphash", func(o *Options) { o.Hash = HashSipHash }},
		{"seed", "another one", "this one", func(o *Options) { o.Seed = []byte("0123456789abcdeF") }},
		{"window", "1h0m0s", "2h0m0s", func(o *Options) { o.Window = 2 * time.Hour }},
		{"buckets", "6", "12", func(o *Options) { o.Buckets = 12 }},
	}
	for _, c := range cases {
		o := sampleOptions(fs)
		c.set(&o)
		_, err := Open("data", o)
		var bad *IncompatibleError
		require.ErrorAs(t, err, &bad, c.field)
		require.Equal(t, IncompatibleError{Dir: "data", Field: c.field, Store: c.store, Given: c.given, Hint: bad.Hint}, *bad)
		require.ErrorContains(t, err, "another directory")
		require.NotContains(t, err.Error(), "3031323334", "the seed is a secret")
	}
	o := sampleOptions(fs)
	o.Seed = nil
	e, err := Open("data", o)
	require.NoError(t, err, "without a seed the store's own holds")
	require.NoError(t, e.Close())
}

// TestKeySpec: keys of another make are refused where both sides say what they are made of.
func TestKeySpec(t *testing.T) {
	fs := vfs.NewMem()
	o := sampleOptions(fs)
	o.KeySpec = "key"
	e, err := Open("data", o)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	o.KeySpec = "json:order_id"
	_, err = Open("data", o)
	var bad *IncompatibleError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, IncompatibleError{Dir: "data", Field: "key", Store: "key", Given: "json:order_id", Hint: bad.Hint}, *bad)
	for _, spec := range []string{"key", ""} {
		o.KeySpec = spec
		e, err := Open("data", o)
		require.NoError(t, err, spec)
		require.NoError(t, e.Close())
	}
}

// TestNewerFormat: a store of a later version is refused before anything else in its header is believed.
func TestNewerFormat(t *testing.T) {
	fs := made(t)
	rewrite(t, fs, "data/NOECHO", func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 2`), 1)
	})
	_, err := Open("data", sampleOptions(fs))
	var bad *IncompatibleError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "format", bad.Field)
	require.ErrorContains(t, err, "use the version of noecho that made it")
}

// TestDamagedHeader: no damage is mistaken for another store, or for none.
func TestDamagedHeader(t *testing.T) {
	changes := map[string]func([]byte) []byte{
		"empty":    func([]byte) []byte { return nil },
		"cut":      func(b []byte) []byte { return b[:len(b)/2] },
		"no JSON":  func(b []byte) []byte { return append(b, 'x') },
		"a digit":  func(b []byte) []byte { return bytes.Replace(b, []byte("3600000"), []byte("3600060"), 1) },
		"the seed": func(b []byte) []byte { return bytes.Replace(b, []byte("30313233"), []byte("30313234"), 1) },
		"the sum":  func(b []byte) []byte { return bytes.Replace(b, []byte(`"crc32c": "`), []byte(`"crc32c": "0`), 1) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			fs := made(t)
			rewrite(t, fs, "data/NOECHO", change)
			_, err := Open("data", sampleOptions(fs))
			var bad *HeaderError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "data/NOECHO", bad.Path)
			require.ErrorContains(t, err, "restore it from a backup")
			_, err = inspect(fs, "data")
			require.ErrorAs(t, err, &bad)
		})
	}
}

// TestSeedThatIsNone: the checksum holds, but the seed has no 16 bytes.
func TestSeedThatIsNone(t *testing.T) {
	fs := vfs.NewMem()
	h := header{Format: formatVersion, ID: "00", Hash: HashXXH3, Seed: strings.Repeat("0", 30), WindowMs: 6, Buckets: 6}
	h.CRC = h.checksum()
	require.NoError(t, writeHeader(fs, "", h))
	_, _, err := readHeader(fs, "")
	require.ErrorContains(t, err, "its seed is no seed")
}

// TestMissingHeader: marks whose seed is lost are all blind. A new header on top of them would hide that.
func TestMissingHeader(t *testing.T) {
	fs := made(t)
	require.NoError(t, fs.Remove("data/NOECHO"))
	_, err := Open("data", sampleOptions(fs))
	var bad *HeaderError
	require.ErrorAs(t, err, &bad)
	require.ErrorContains(t, err, "it is missing")
}

// TestIDStaysForLife: random at first, the same ever after.
func TestIDStaysForLife(t *testing.T) {
	fs := vfs.NewMem()
	ids := map[string]bool{}
	for _, dir := range []string{"a", "b", "a"} {
		o := sampleOptions(fs)
		o.Seed = nil
		e, err := Open(dir, o)
		require.NoError(t, err)
		require.Len(t, e.ID(), 16)
		ids[e.ID()] = true
		require.NoError(t, e.Close())
	}
	require.Len(t, ids, 2)
}
