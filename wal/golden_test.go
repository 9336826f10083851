package wal

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// golden compares got with a file in testdata; -rewrite makes the file. A change of segment.txt is a
// change of the format: raise formatVersion or payloadVersion, and docs/format.md.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "make it with: go test ./wal -run Golden -rewrite")
	require.Equal(t, string(want), got)
}

// dump writes bytes field by field.
type dump struct {
	out    strings.Builder
	b      []byte
	offset int
}

func (d *dump) title(format string, args ...any) {
	fmt.Fprintf(&d.out, "# "+format+"\n", args...)
}

// field takes n bytes.
func (d *dump) field(n int, name string, args ...any) []byte {
	field := d.b[d.offset : d.offset+n]
	fmt.Fprintf(&d.out, "%04d  %-34x  %s\n", d.offset, field, fmt.Sprintf(name, args...))
	d.offset += n
	return field
}

func (d *dump) u32(name string) uint32 {
	v := binary.LittleEndian.Uint32(d.b[d.offset:])
	d.field(4, "%s = %d", name, v)
	return v
}

func (d *dump) i64(name string) {
	d.field(8, "%s = %d", name, int64(binary.LittleEndian.Uint64(d.b[d.offset:])))
}

func (d *dump) position(name string) {
	d.field(8, "%s = %s", name, Position(binary.LittleEndian.Uint64(d.b[d.offset:])))
}

func (d *dump) uvarint(name string) {
	v, n := binary.Uvarint(d.b[d.offset:])
	d.field(n, "%s = %d", name, v)
}

func (d *dump) varint(name string) {
	v, n := binary.Varint(d.b[d.offset:])
	d.field(n, "%s = %+d", name, v)
}

func (d *dump) segmentHeader() {
	d.title("segment header")
	d.field(8, "magic %q", d.b[d.offset:d.offset+8])
	d.u32("version")
	d.u32("number")
	d.position("previous")
	d.field(4, "0")
	d.field(4, "crc-32c of bytes 0 to 27")
}

func (d *dump) frame() {
	d.title("frame at 1:%d", d.offset)
	start := d.offset
	d.field(4, "check: crc-32c of position 1:%d and the next 20 bytes", start)
	d.field(4, "sum: crc-32c of the payload")
	length := int(d.u32("length"))
	kind := d.field(1, "kind")[0]
	d.field(3, "0")
	d.position("durable")
	end := d.offset + length
	if kind == frameData {
		d.payload(end)
	}
	if padding := int(frameSize(length)) - (d.offset - start); padding > 0 {
		d.field(padding, "padding")
	}
}

func (d *dump) payload(end int) {
	d.title("payload")
	d.u32("version")
	d.u32("partition")
	d.i64("seq")
	d.i64("from")
	d.i64("to")
	d.i64("committed")
	d.i64("stream time")
	for d.offset < end {
		switch kind := d.b[d.offset]; kind {
		case sectionBoundary:
			d.field(1, "section: boundary")
			d.uvarint("bucket")
			d.varint("offset")
		case sectionMarks:
			d.field(1, "section: marks")
			d.uvarint("bucket")
			for count := d.u32("count"); count > 0; count-- {
				d.field(16, "hi, lo")
				d.varint("offset")
			}
		case sectionForget:
			d.field(1, "section: forget")
			d.uvarint("bucket")
			d.field(16, "hi, lo")
		case sectionFloor:
			d.field(1, "section: floor")
			d.uvarint("bucket")
		}
	}
}

// The bytes of a small log, closed cleanly, field by field.
func TestGoldenSegment(t *testing.T) {
	disk := vfs.NewMem()
	l, _ := reopen(t, disk, 4096)
	var e Encoder
	e.Begin(3, 1, 1000)
	e.Boundary(300, 1000)
	e.Mark(300, 0x1122334455667788, 0x99aabbccddeeff00, 1000)
	e.Mark(300, 0x0102030405060708, 0x090a0b0c0d0e0f10, 1200)
	e.Mark(301, 0xdeadbeef, 0xcafe, 1201)
	mustSync(t, l, e.Finish(1202, 990, 1_700_000_000_000))
	e.Begin(4, 2, 50)
	e.Forget(301, 0xdeadbeef, 0xcafe)
	e.Floor(300)
	mustSync(t, l, e.Finish(50, 50, -1))
	require.NoError(t, l.Close())

	d := &dump{b: readFile(t, disk, segmentPath(1))}
	d.segmentHeader()
	for d.offset < len(d.b) {
		d.frame()
	}
	golden(t, "segment.txt", d.out.String())
}

// The order of operations is the durability of the log: this is the story of a life, a crash and the
// life after it, as the file system sees it.
func TestGoldenOperations(t *testing.T) {
	var out strings.Builder
	disk := vfs.NewCrashableMem()
	fs := &hookFS{FS: disk}
	fs.setHook(func(_ int, o op) error {
		fmt.Fprintf(&out, "  %s %s", o.kind, disk.PathBase(o.path))
		if o.to != "" {
			fmt.Fprintf(&out, " to %s", disk.PathBase(o.to))
		}
		if o.bytes > 0 {
			fmt.Fprintf(&out, " at %d, %d bytes", o.offset, o.bytes)
		}
		fmt.Fprintln(&out)
		return nil
	})
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }

	say("open")
	l, _ := reopen(t, fs, 512)
	say("append two frames, sync")
	mustAppend(t, l, numbered(0, 50))
	mustSync(t, l, numbered(1, 50))
	// A spare from outside, so that no goroutine makes one beside the story.
	writeFile(t, disk, testDir+"/"+fileName(9, spareSuffix), make([]byte, 512))
	require.True(t, l.spares.add(testDir+"/"+fileName(9, spareSuffix)))
	say("append over the end of the segment, sync: segment 2 is a spare")
	mustAppend(t, l, numbered(2, 150))
	mustSync(t, l, numbered(3, 150))
	require.True(t, l.spares.add(testDir+"/none"))
	say("append over the end of the segment, sync: the spare has vanished, segment 3 is made")
	mustAppend(t, l, numbered(4, 150))
	pos := mustSync(t, l, numbered(5, 150))
	require.EqualValues(t, 3, pos.Segment())
	say("truncate: segment 1 grew, and is removed; segment 2 is recycled")
	require.NoError(t, l.Truncate(pos))
	say("append, and fail to sync")
	inner := fs.hook
	fs.setHook(func(n int, o op) error {
		_ = inner(n, o)
		if o.kind == "syncData" {
			return errDisk
		}
		return nil
	})
	pos = mustAppend(t, l, numbered(6, 8))
	require.ErrorIs(t, l.Sync(ctx, pos), errDisk)
	say("close")
	require.ErrorIs(t, l.Close(), errDisk)
	fs.setHook(inner)
	say("open: the frame that may be in the page cache only is written again")
	l, got := reopen(t, fs, 512)
	require.Equal(t, []uint64{5, 6}, got)
	say("append, close: the trailer after the frames")
	mustAppend(t, l, numbered(7, 8))
	require.NoError(t, l.Close())
	golden(t, "operations.txt", out.String())
}
