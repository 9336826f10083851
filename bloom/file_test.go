package bloom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a new format version")

// sample is a filter with several planes and layers, small enough to damage in every byte.
func sample(make func(Options) Filter) Filter {
	f := make(Options{MinKeys: 16})
	fillPlane(f, 1, 0, 20)
	fillPlane(f, 2, 3, 5)
	f.Open(7, 100)
	fillPlane(f, 3, 7, 33)
	return f
}

func saved(t testing.TB, f Filter, tag string) []byte {
	var file bytes.Buffer
	require.NoError(t, Save(&file, f, []byte(tag)))
	return file.Bytes()
}

// resum puts the right checksum under a file that was tampered with.
func resum(file []byte) []byte {
	n := len(file) - sumBytes
	return binary.LittleEndian.AppendUint32(bytes.Clone(file[:n]), crc32.Checksum(file[:n], castagnoli))
}

func requireCorrupt(t *testing.T, file []byte, size int, msg string, args ...any) *CorruptError {
	t.Helper()
	f, tag, err := Load(bytes.NewReader(file), int64(size))
	require.ErrorIs(t, err, ErrCorrupt, append([]any{msg}, args...)...)
	var c *CorruptError
	require.ErrorAs(t, err, &c)
	require.GreaterOrEqual(t, c.Offset, int64(0))
	require.LessOrEqual(t, c.Offset, int64(len(file)))
	require.Nil(t, f)
	require.Nil(t, tag)
	return c
}

// Golden files: what this format version looks like, to the byte, and which keys are in it. A change of the bytes is a
// new format version; so is another choice of block or slots, which would turn old files into false negatives.
func TestGolden(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		f := sample(make)
		path := filepath.Join("testdata", f.Kind()+".v3.golden")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(path, saved(t, f, "golden"), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, saved(t, f, "golden")), "Save writes other bytes than this format version has")

		got, tag, err := Load(bytes.NewReader(want), int64(len(want)))
		require.NoError(t, err)
		require.Equal(t, "golden", string(tag))
		requireSound(t, got)
		requirePlane(t, got, 1, 0, 20)
		requirePlane(t, got, 2, 3, 5)
		requirePlane(t, got, 3, 7, 33)
		for p, n := range []uint64{20, 0, 0, 5, 0, 0, 0, 33} {
			require.Equal(t, n, got.Count(p))
		}
	})
}

// The picture in doc.go, read by hand.
func TestFileLayout(t *testing.T) {
	f := NewSliced(Options{BitsPerKey: 20, MinKeys: 30})
	f.Add(Hash{Hi: 1 << 63, Lo: 0 | 1<<7 | 2<<14 | 3<<21 | 0<<28 | 1<<35 | 2<<42 | 3<<49}, 6)
	file := saved(t, f, "tag")
	le := binary.LittleEndian
	require.Equal(t, "NOECHOBF", string(file[:8]))
	require.Equal(t, uint16(formatVersion), le.Uint16(file[8:]))
	require.Equal(t, []byte{kindSliced, 20}, file[10:12])
	require.Equal(t, uint32(1), le.Uint32(file[12:]))
	require.Equal(t, uint64(30), le.Uint64(file[16:]))
	require.Equal(t, uint64(3), le.Uint64(file[24:]))
	require.Equal(t, "tag", string(file[32:35]))
	layer := file[35:]
	require.Equal(t, uint64(3), le.Uint64(layer), "blocks: 600 slots")
	require.Equal(t, uint64(38), le.Uint64(layer[8:]), "capacity")
	require.Zero(t, le.Uint64(layer[16:]), "spare planes")
	require.Equal(t, uint64(1), le.Uint64(layer[24+6*8:]), "adds of plane 6")
	slots := layer[88 : 88+3*256]
	require.Equal(t, bytes.Repeat([]byte{1 << 6}, 4), slots[256:260], "the middle block, near half")
	require.Equal(t, bytes.Repeat([]byte{1 << 6}, 4), slots[384:388], "far half")
	require.Zero(t, le.Uint64(layer[88+3*256:]), "narrow layers")
	sum := layer[88+3*256+8:]
	require.Len(t, sum, 4)
	require.Equal(t, crc32.Checksum(file[:len(file)-4], castagnoli), le.Uint32(sum))

	apply := f.Chain(6, 50)
	apply()
	for range 38 { // all of them: not first what the other layer has room for
		f.Add(Hash{Hi: 1 << 63, Lo: 0 | 9<<7 | 127<<14 | 127<<21 | 0<<28 | 8<<35 | 127<<42 | 127<<49}, 6)
	}
	file = saved(t, f, "tag")
	require.Equal(t, uint64(1), le.Uint64(file[35+88+3*256:]), "narrow layers")
	layer = file[35+88+3*256+8:]
	require.Equal(t, uint64(6), le.Uint64(layer), "plane")
	require.Equal(t, uint64(5), le.Uint64(layer[8:]), "blocks: a sixth more than 50 keys, 1160 slots")
	require.Equal(t, uint64(64), le.Uint64(layer[16:]), "capacity")
	require.Equal(t, uint64(38), le.Uint64(layer[24:]), "adds")
	slots = layer[32 : 32+5*32]
	want := make([]byte, 5*32)
	want[64], want[65], want[79] = 1, 2, 0x80 // the middle block, near half: slots 0, 9, 127
	want[80], want[81], want[95] = 1, 1, 0x80 // far half: 0, 8, 127
	require.Equal(t, want, slots)
	require.Len(t, layer[32+5*32:], 4)

	g := NewRing(Options{BitsPerKey: 20, MinKeys: 30})
	g.Add(Hash{Hi: 7, Lo: 0}, 6)
	layer = saved(t, g, "")[32:]
	require.Equal(t, []byte{6, 14, 0, 0, 0, 0, 0, 0}, layer[:8])
	require.Equal(t, uint64(640), le.Uint64(layer[8:]), "bits")
	require.Equal(t, uint64(32), le.Uint64(layer[16:]), "capacity")
	require.Equal(t, uint64(1), le.Uint64(layer[24:]), "adds")
	// Places 7, 7+0, 7+0+1, 7+0+1+3, 7+0+1+3+6, ...: the steps of enhanced double hashing.
	require.NotZero(t, layer[32]&(1<<7))
	require.Equal(t, byte(1<<0|1<<3), layer[33]&(1<<0|1<<3))
	require.Len(t, layer, 32+640/8+4)
}

func TestEveryDamagedByteIsFound(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		file := saved(t, sample(make), "a tag")
		for i := range file {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				file[i] ^= flip
				requireCorrupt(t, file, len(file), "byte %d ^ %#x", i, flip)
				file[i] ^= flip
			}
		}
		_, _, err := Load(bytes.NewReader(file), int64(len(file)))
		require.NoError(t, err)
	})
}

func TestDamageInALargeFileIsFound(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		f := make(Options{})
		f.Open(1, 40_000)
		fillPlane(f, 1, 1, 40_000)
		file := saved(t, f, "")
		require.Greater(t, len(file), chunkBytes, "more than one chunk")
		for i := range uint64(60) {
			at := mix(i) % uint64(len(file))
			file[at] ^= 0x10
			requireCorrupt(t, file, len(file), "byte %d", at)
			file[at] ^= 0x10
		}
	})
}

func TestEveryTruncationIsFound(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		file := saved(t, sample(make), "a tag")
		for n := range file {
			requireCorrupt(t, file[:n], n, "cut to %d bytes", n)
			requireCorrupt(t, file[:n], len(file), "cut to %d bytes, the size says more", n)
		}
		requireCorrupt(t, append(bytes.Clone(file), 0), len(file)+1, "a byte more")
		requireCorrupt(t, file, -1, "a size that can't be")
	})
}

// put and set tamper with a file: eight bytes, and one.
func put(at int, v uint64) func([]byte) {
	return func(file []byte) { binary.LittleEndian.PutUint64(file[at:], v) }
}

func set(at int, v byte) func([]byte) { return func(file []byte) { file[at] = v } }

// Where the layers of sample are in its file.
const (
	first  = headerBytes
	second = first + slicedLayerBytes + 1*blockSlots
	third  = second + slicedLayerBytes + 8*blockSlots + 8 // the narrow one
)

var forgeries = []struct {
	kind, field, want string
	forge             func([]byte)
}{
	{KindSliced, "magic", "does not begin with", set(0, 'n')},
	{KindSliced, "version", "format version 1, this build reads 3", set(8, 1)},
	{KindSliced, "kind", "kind 3 is none of ours", set(10, 3)},
	{KindSliced, "bits 0", "out of range", set(11, 0)},
	{KindSliced, "bits 33", "out of range", set(11, 33)},
	{KindSliced, "no layer", "without a layer", set(12, 0)},
	{KindSliced, "layers more", "blocks;", set(12, 4)},
	{KindSliced, "layers many", "do not fit", set(15, 0xff)},
	{KindSliced, "layers less", "a narrow layer of plane", set(12, 1)},
	{KindSliced, "min keys", "out of range", put(16, maxMinKeys+1)},
	{KindSliced, "min keys 0", "out of range", put(16, 0)},
	{KindSliced, "tag", "does not fit", put(24, 1<<40)},
	{KindSliced, "tag overflow", "does not fit", put(24, 1<<64-1)},
	{KindSliced, "blocks 0", "a layer of 0 blocks", put(first, 0)},
	{KindSliced, "blocks", "blocks;", put(first, 1<<28)},
	{KindSliced, "blocks overflow", "blocks;", put(first, 1<<56)},
	{KindSliced, "capacity 0", "for 0 keys", put(first+8, 0)},
	{KindSliced, "capacity", "for 33 keys", put(first+8, 33)},
	{KindSliced, "adds", "has 17 keys in a layer for 16", put(first+24, 17)},
	{KindSliced, "adds 0, bits", "slots of planes", put(first+24, 0)},
	{KindSliced, "empty layer", "is not the last", func(file []byte) { clear(file[first+24 : first+88+256]) }},
	{KindSliced, "spare", "spare planes 10,", put(first+16, 2)},
	{KindSliced, "all spare", "is not the last", put(first+16, 1|8)},
	{KindSliced, "last spare", "the last layer has spare", put(second+16, 1<<7)},
	{KindSliced, "narrow layers", "do not fit", put(third-8, 1<<40)},
	{KindSliced, "narrow layers more", "does not fit", put(third-8, 2)},
	{KindSliced, "narrow layers less", "bytes more than the layers take", put(third-8, 0)},
	{KindSliced, "narrow plane", "a narrow layer of plane 8", put(third, 8)},
	{KindSliced, "narrow blocks 0", "a narrow layer of 0 blocks", put(third+8, 0)},
	{KindSliced, "narrow blocks", "blocks;", put(third+8, 1<<28)},
	{KindSliced, "narrow blocks overflow", "blocks;", put(third+8, 1<<59)},
	{KindSliced, "narrow capacity 0", "for 0 keys", put(third+16, 0)},
	{KindSliced, "narrow capacity", "for 200 keys", put(third+16, 200)},
	{KindSliced, "narrow adds", "keys in a narrow layer for", put(third+24, 49)},
	{KindRing, "plane", "of plane 8", set(first, 8)},
	{KindRing, "plane order", "a layer of plane 0 after one of plane 7", set(first, 7)},
	{KindRing, "probes 0", "0 probes", set(first+1, 0)},
	{KindRing, "probes", "23 probes", set(first+1, 23)},
	{KindRing, "reserved", "reserved", set(first+7, 1)},
	{KindRing, "bits 0", "a layer of 0 bits", put(first+8, 0)},
	{KindRing, "bits odd", "a layer of 250 bits", put(first+8, 250)},
	{KindRing, "bits", "bits;", put(first+8, 1<<62)},
	{KindRing, "capacity 0", "for 0 keys", put(first+16, 0)},
	{KindRing, "capacity", "for 33 keys", put(first+16, 33)},
	{KindRing, "adds", "17 keys in a layer for 16", put(first+24, 17)},
	{KindRing, "empty layer", "is not the last", put(first+24, 0)},
}

// Files with the right checksum and wrong fields: refused, and before any memory is taken for them.
func TestForgedFieldsAreRefused(t *testing.T) {
	for _, c := range forgeries {
		t.Run(c.kind+"/"+c.field, func(t *testing.T) {
			make := NewSliced
			if c.kind == KindRing {
				make = NewRing
			}
			file := saved(t, sample(make), "")
			c.forge(file)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := requireCorrupt(t, resum(file), len(file), c.field)
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "delete it")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		})
	}
}

// A huge sparse file is a way to make every length plausible: a layer has a limit of its own.
func TestForgedLengthsInAHugeFileAreRefused(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		file := saved(t, sample(make), "")
		switch make(Options{}).Kind() {
		case KindSliced:
			binary.LittleEndian.PutUint64(file[headerBytes:], 2*maxLayerBits/blockSlots)
		case KindRing:
			binary.LittleEndian.PutUint64(file[headerBytes+8:], 2*maxLayerBits)
		}
		_, _, err := Load(bytes.NewReader(file), 1<<50)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "bytes are left")
	})
}

func TestSaveFailsAtTheNthWrite(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		f := make(Options{MinKeys: 100_000})
		fillPlane(f, 1, 1, 100)
		n := 0
		for ; ; n++ {
			err := Save(&failingWriter{left: n}, f, []byte("tag"))
			if err == nil {
				break
			}
			require.ErrorIs(t, err, io.ErrClosedPipe)
			require.ErrorContains(t, err, "bloom: save "+f.Kind()+" filter: ")
		}
		require.Greater(t, n, 3, "chunks and the checksum")
		requirePlane(t, f, 1, 1, 100)
	})
}

// failingWriter takes left writes and then fails. It scribbles over what it was given, as in-memory file systems for tests do.
type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left == 0 {
		return 0, io.ErrClosedPipe
	}
	w.left--
	for i := range p {
		//lint:ignore SA1023 this is the point
		p[i] ^= 0xff
	}
	return len(p), nil
}

func TestLoadFailsAtTheNthByte(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		file := saved(t, sample(make), "tag")
		broken := errors.New("broken disk")
		for n := range file {
			r := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))
			_, _, err := Load(r, int64(len(file)))
			require.ErrorIs(t, err, broken)
			require.NotErrorIs(t, err, ErrCorrupt, "the file may be good")
			require.ErrorContains(t, err, fmt.Sprintf("at offset %d", n))
		}
	})
}

func TestLoadTakesShortReads(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		file := saved(t, sample(make), "tag")
		for _, r := range []io.Reader{
			iotest.OneByteReader(bytes.NewReader(file)),
			iotest.DataErrReader(bytes.NewReader(file)),
			io.MultiReader(bytes.NewReader(file), iotest.ErrReader(errors.New("read past the size"))),
		} {
			f, tag, err := Load(r, int64(len(file)))
			require.NoError(t, err)
			require.Equal(t, "tag", string(tag))
			require.Equal(t, file, saved(t, f, "tag"))
		}
	})
}

// FuzzLoad gives Load anything, under the right checksum, or few inputs would come past it. What loads is sound and saves
// as the same bytes.
func FuzzLoad(f *testing.F) {
	for _, k := range kinds {
		file := saved(f, sample(k.make), "tag")
		f.Add(file[:len(file)-sumBytes])
		file = saved(f, k.make(Options{}), "")
		f.Add(file[:len(file)-sumBytes])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		file := resum(append(bytes.Clone(body), 0, 0, 0, 0))
		got, tag, err := Load(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		requireSound(t, got)
		got.TestAll([]Hash{{}, {Hi: 1<<64 - 1, Lo: 1<<64 - 1}}, make([]Mask, 2))
		got.Test(Hash{Hi: 1<<64 - 1, Lo: 1})
		require.True(t, bytes.Equal(file, saved(t, got, string(tag))))
		for p := range Planes {
			require.True(t, got.ClearSome(p, len(file)))
			require.Zero(t, got.Test(Hash{Hi: 1, Lo: 2})&(1<<p))
		}
	})
}
