package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble reads its manifest up to the first record that is not valid and takes
// that for the end: a crash may have torn the last one. But a bit that flips in
// an older record makes it go back to the state of then, without a word, and
// delete the tables it no longer knows. (Of 1177 flips in a small manifest, 890 did that
// and 287 failed to open.) So we look at the manifest before Pebble does:
//
//   - after a clean close, it has to be what it was: Close notes its name, size
//     and checksum in a file of its own, which the next Open takes away before
//     anything changes;
//   - else, after a crash, what follows a bad record must not be a record.
//     Pebble syncs each before it begins the next, so that a later one proves the
//     bad one was whole.
//
// What is left: damage to the very last record after a crash, which can't be told
// from a torn one. It takes the last change back, marks and metas together.

const (
	cleanName   = "CLEAN"
	cleanFormat = "manifest %s size %d crc32c %08x\n"

	// The log format of LevelDB: blocks of 32 KiB, in them chunks of
	// checksum (4) | length (2) | type (1) | payload, little endian.
	logBlock     = 32 << 10
	logHeader    = 7
	chunkFull    = 1 // a whole record
	chunkFirst   = 2 // the start of one
	chunkLast    = 4 // the highest type
	crcMaskDelta = 0xa282ead8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// currentManifest returns the manifest that the next Open would use; name is
// empty when there is no store yet.
func currentManifest(fs vfs.FS, dir string) (name string, data []byte, err error) {
	if _, err := fs.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", nil, nil
	} else if err != nil {
		return "", nil, err
	}
	desc, err := pebble.Peek(dir, fs)
	if err != nil || !desc.Exists {
		return "", nil, err
	}
	data, err = readFile(fs, desc.ManifestFilename)
	return fs.PathBase(desc.ManifestFilename), data, err
}

// checkManifest refuses a damaged manifest, and makes sure that what the last
// Close noted about it does not outlive it.
func (x *Index) checkManifest() error {
	name, data, err := currentManifest(x.fs, x.dir)
	if err != nil {
		return fmt.Errorf("cannot read the manifest in %q: %w", x.dir, err)
	}
	path := x.fs.PathJoin(x.dir, cleanName)
	note, err := readFile(x.fs, path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("cannot read %q: %w", path, err)
	default:
		if err := x.checkNote(string(note), name, data); err != nil {
			return err
		}
		if x.opts.ReadOnly {
			return nil
		}
		// Durably, before Pebble touches the manifest.
		if err := x.fs.Remove(path); err != nil {
			return fmt.Errorf("cannot remove %q: %w", path, err)
		}
		if err := syncDir(x.fs, x.dir); err != nil {
			return fmt.Errorf("cannot sync directory %q: %w", x.dir, err)
		}
	}
	if bad, next := scanLog(data); next >= 0 {
		return &CorruptionError{Dir: x.dir, Reason: fmt.Sprintf(
			"%s has no valid record at offset %d, but one after it at %d", name, bad, next)}
	}
	return nil
}

func (x *Index) checkNote(note, name string, data []byte) error {
	var wantName string
	var size int
	var sum uint32
	if _, err := fmt.Sscanf(note, cleanFormat, &wantName, &size, &sum); err != nil {
		return nil // torn while it was written, in a crash: as good as none
	}
	if note != fmt.Sprintf(cleanFormat, wantName, size, sum) {
		return nil
	}
	if name != wantName || len(data) != size || crc32.Checksum(data, castagnoli) != sum {
		return &CorruptionError{Dir: x.dir, Reason: fmt.Sprintf(
			"manifest %q of %d bytes is not the %q of %d bytes that was closed", name, len(data), wantName, size)}
	}
	return nil
}

// noteManifest is the counterpart of checkManifest, after the store was closed.
func (x *Index) noteManifest() error {
	name, data, err := currentManifest(x.fs, x.dir)
	if err != nil {
		return err
	}
	f, err := x.fs.Create(x.fs.PathJoin(x.dir, cleanName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, cleanFormat, name, len(data), crc32.Checksum(data, castagnoli))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(x.fs, x.dir)
}

// scanLog returns the offset of the first bad chunk of a log and the offset of a
// record that begins after it. bad is len(log) if there is no bad chunk, next is
// -1 if there is no such record.
func scanLog(log []byte) (bad, next int) {
	for bad < len(log) {
		if rest := logBlock - bad%logBlock; rest < logHeader {
			bad += rest // filled with zeros
			continue
		}
		n, _, ok := chunkAt(log, bad)
		if !ok {
			break
		}
		bad += n
	}
	for i := bad + 1; i < len(log); i++ {
		if _, kind, ok := chunkAt(log, i); ok && (kind == chunkFull || kind == chunkFirst) {
			return bad, i
		}
	}
	return min(bad, len(log)), -1
}

// chunkAt parses the chunk at offset i.
func chunkAt(log []byte, i int) (n int, kind byte, ok bool) {
	if len(log)-i < logHeader || logBlock-i%logBlock < logHeader {
		return 0, 0, false
	}
	kind = log[i+6]
	n = logHeader + int(binary.LittleEndian.Uint16(log[i+4:]))
	if kind < chunkFull || kind > chunkLast || n > len(log)-i || n > logBlock-i%logBlock {
		return 0, 0, false
	}
	sum := crc32.Checksum(log[i+6:i+n], castagnoli)
	return n, kind, binary.LittleEndian.Uint32(log[i:]) == (sum>>15|sum<<17)+crcMaskDelta
}

func readFile(fs vfs.FS, name string) (data []byte, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}
