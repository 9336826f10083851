package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
)

// keySchema says how the keys of a data block are stored.
//
// Pebble's own schema does not know what a key is: it finds the bytes that
// neighbours share, in bundles of 16, and keeps an offset for each of the rest.
// For a mark that is 16.5 bytes, and most of the time it takes to write and to
// seek. But all keys of a block are marks of one bucket: the first 12 bytes are
// the same, the other 16 are two uniform numbers that ascend. So a block of
// ours is two arrays:
//
//	column 0   width w (1) | prefix (12) | base (8) | rows x w bytes | rows x 8 bytes
//	           or one byte packedNone                 hash hi - base   hash lo
//	column 1   raw bytes: all keys, when column 0 is packedNone, else empty ones
//
// Little endian; base is the hi of the first row, and w what the last row needs:
// 6 bytes in a bucket of 13 M to 3,000 M keys, 7 in a smaller one. Rows have a
// fixed size: no offsets, and a row is found by interpolation (keySeeker).
//
// A block that holds any other key (metas; a key of another length, or of two
// prefixes) keeps all its keys as they are in column 1. What is a mark is not
// asked: any 28-byte keys with one 12-byte prefix can be packed.
var keySchema = colblk.KeySchema{
	Name:                  KeySchemaName,
	ColumnTypes:           columnTypes,
	NewKeyWriter:          func() colblk.KeyWriter { return newKeyWriter() },
	InitKeySeekerMetadata: initKeySeeker,
	KeySeeker:             keySeekerOf,
}

// KeySchemaName is in the properties of each table. Another layout of the blocks
// is another name; tables of both can be in one store.
const KeySchemaName = "noecho.marks.1"

// KeySchemas are the key schemas of an index's tables, for who opens its store
// with Pebble alone: ours, and Pebble's own, which stores from before it have.
func KeySchemas() sstable.KeySchemas {
	old := colblk.DefaultKeySchema(pebble.DefaultComparer, 16)
	return sstable.MakeKeySchemas(&keySchema, &old)
}

var columnTypes = []colblk.DataType{colPacked: packedType, colRaw: colblk.DataTypeBytes}

const (
	colPacked = iota
	colRaw
	colCount

	// packedType: the column is in none of the encodings that Pebble has.
	packedType = colblk.DataTypeInvalid

	packedHead = 1 + prefixLen + 8
	packedNone = 0xff // in place of the width

	// emptyRaw is a raw bytes column of empty rows: offsets that are zero and
	// take no bytes each.
	emptyRaw = 0
)

// keyWriter gathers the keys of one block. Owned by the table's writer.
type keyWriter struct {
	rows   int
	packed int // the rows from the first on that can be packed together
	prefix [prefixLen]byte
	hi, lo []uint64 // of the packed rows
	// raw holds all rows once there is one that can't be packed: packed < rows.
	// The packed ones stay, because the last row may be taken back (Finish of
	// one row less).
	raw colblk.RawBytesBuilder
	buf []byte // scratch of ComparePrev
}

var _ colblk.KeyWriter = (*keyWriter)(nil)

func newKeyWriter() *keyWriter {
	w := new(keyWriter)
	w.raw.Init()
	return w
}

// Reset is called at the start of every block.
func (w *keyWriter) Reset() {
	if w.packed < w.rows {
		w.raw.Reset()
	}
	w.rows, w.packed = 0, 0
	w.hi, w.lo = w.hi[:0], w.lo[:0]
}

// packs says whether key can be packed with the rows before it.
func (w *keyWriter) packs(key []byte) bool {
	return len(key) == keyLen && w.packed == w.rows &&
		(w.rows == 0 || [prefixLen]byte(key) == w.prefix)
}

// ComparePrev compares key with the row before.
func (w *keyWriter) ComparePrev(key []byte) colblk.KeyComparison {
	c := colblk.KeyComparison{PrefixLen: int32(len(key)), UserKeyComparison: 1}
	if w.rows == 0 {
		return c
	}
	if !w.packs(key) {
		w.buf = w.MaterializeKey(w.buf[:0], w.rows-1)
		for int(c.CommonPrefixLen) < min(len(key), len(w.buf)) && key[c.CommonPrefixLen] == w.buf[c.CommonPrefixLen] {
			c.CommonPrefixLen++
		}
		c.UserKeyComparison = int32(bytes.Compare(key, w.buf))
		return c
	}
	a, b := binary.BigEndian.Uint64(key[prefixLen:]), w.hi[w.rows-1]
	c.CommonPrefixLen = prefixLen
	if a == b {
		a, b = binary.BigEndian.Uint64(key[prefixLen+8:]), w.lo[w.rows-1]
		c.CommonPrefixLen += 8
	}
	c.CommonPrefixLen += int32(bits.LeadingZeros64(a^b) / 8)
	if a < b {
		c.UserKeyComparison = -1
	} else if a == b {
		c.UserKeyComparison = 0
	}
	return c
}

// WriteKey appends a row. What it shares with the row before is of no use.
func (w *keyWriter) WriteKey(row int, key []byte, _, _ int32) {
	if w.packs(key) {
		if row == 0 {
			w.prefix = [prefixLen]byte(key)
		}
		w.hi = append(w.hi, binary.BigEndian.Uint64(key[prefixLen:]))
		w.lo = append(w.lo, binary.BigEndian.Uint64(key[prefixLen+8:]))
		w.rows++
		w.packed++
		return
	}
	if w.packed == w.rows {
		for i := range w.rows {
			w.buf = w.MaterializeKey(w.buf[:0], i)
			w.raw.Put(w.buf)
		}
	}
	w.raw.Put(key)
	w.rows++
}

// MaterializeKey appends the key of a row to dst.
func (w *keyWriter) MaterializeKey(dst []byte, row int) []byte {
	if row >= w.packed {
		return append(dst, w.raw.UnsafeGet(row)...)
	}
	dst = append(dst, w.prefix[:]...)
	dst = binary.BigEndian.AppendUint64(dst, w.hi[row])
	return binary.BigEndian.AppendUint64(dst, w.lo[row])
}

// width is the bytes a row's hi takes when the block has that many rows.
func (w *keyWriter) width(rows int) int {
	return (bits.Len64(w.hi[rows-1]-w.hi[0]) + 7) / 8
}

// Size returns the offset behind the columns.
func (w *keyWriter) Size(rows int, offset uint32) uint32 {
	switch {
	case rows == 0:
		return offset
	case rows > w.packed:
		return w.raw.Size(rows, offset+1)
	default:
		return offset + packedHead + uint32(rows*(w.width(rows)+8)) + 1
	}
}

// FinishHeader: the schema has no header. One of its own could not be written:
// it is asked for before the number of rows is known.
func (w *keyWriter) FinishHeader([]byte) {}

// Finish writes a column of the first rows.
func (w *keyWriter) Finish(col, rows int, offset uint32, buf []byte) uint32 {
	switch {
	case rows == 0:
		return offset
	case col == colRaw && rows > w.packed:
		return w.raw.Finish(0, rows, offset, buf)
	case col == colRaw:
		buf[offset] = emptyRaw
		return offset + 1
	case rows > w.packed:
		buf[offset] = packedNone
		return offset + 1
	}
	width := w.width(rows)
	end := offset + packedHead + uint32(rows*(width+8))
	p := buf[offset:end]
	p[0] = byte(width)
	copy(p[1:], w.prefix[:])
	binary.LittleEndian.PutUint64(p[1+prefixLen:], w.hi[0])
	his, los := p[packedHead:], p[packedHead+rows*width:]
	// Eight bytes each: the next row overwrites what is too many, and the last
	// rows spill into the lows, which are written afterwards.
	for i, hi := range w.hi[:rows] {
		binary.LittleEndian.PutUint64(his[i*width:], hi-w.hi[0])
	}
	for i, lo := range w.lo[:rows] {
		binary.LittleEndian.PutUint64(los[i*8:], lo)
	}
	return end
}

// NumColumns is the number of columns of the schema.
func (w *keyWriter) NumColumns() int { return colCount }

// DataType is the type of a column.
func (w *keyWriter) DataType(col int) colblk.DataType { return columnTypes[col] }

// WriteDebug describes the rows gathered.
func (w *keyWriter) WriteDebug(dst io.Writer, rows int) {
	fmt.Fprintf(dst, "keys: %d rows, %d of them packed\n", rows, min(rows, w.packed))
}
