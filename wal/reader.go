package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readWindow is how much of a segment is read at a time; a larger frame gets a larger window.
const readWindow = 256 << 10

// segmentReader reads a segment file front to back through one window of memory, which it keeps
// from file to file.
type segmentReader struct {
	fs     vfs.FS
	file   vfs.File
	path   string
	number uint32
	size   int64 // of the file: no length is believed beyond it

	window []byte
	start  int64 // of window, in the file

	scratch checkScratch
}

func (r *segmentReader) open(path string, number uint32) error {
	r.close()
	f, err := r.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return ioError("open", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(ioError("stat", path, err), f.Close())
	}
	r.file, r.path, r.number, r.size = f, path, number, info.Size()
	r.window, r.start = r.window[:0], 0
	return nil
}

func (r *segmentReader) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file = nil
	}
}

// bytes gives the n bytes at offset, or what the file has of them. They hold until the next call.
func (r *segmentReader) bytes(offset int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(0, r.size-offset)))
	if offset < r.start || offset+int64(n) > r.start+int64(len(r.window)) {
		want := int(min(int64(max(n, readWindow)), r.size-offset))
		if cap(r.window) < want {
			r.window = make([]byte, want)
		}
		r.window, r.start = r.window[:want], offset
		got, err := r.file.ReadAt(r.window, offset)
		if got < want {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF // it was longer when it was opened
			}
			r.window = r.window[:0]
			return nil, ioError("read", r.path, err)
		}
	}
	from := int(offset - r.start)
	return r.window[from : from+n : from+n], nil
}

// segmentHeader reads the segment's header; reason says why there is none.
func (r *segmentReader) segmentHeader() (h segmentHeader, reason string, err error) {
	b, err := r.bytes(0, segmentHeaderSize)
	if err != nil {
		return h, "", err
	}
	h, reason = parseSegmentHeader(b, r.number)
	if reason == "" && h.version != formatVersion {
		return h, "", &VersionError{Path: r.path, Version: h.version}
	}
	return h, reason, nil
}

// frame reads the frame at offset, which must end at or before limit; reason says why there is none.
// The payload holds until the next call.
func (r *segmentReader) frame(offset, limit int64) (h frameHeader, payload []byte, reason string, err error) {
	if offset+frameHeaderSize > min(limit, r.size) {
		return h, nil, "file ends in a frame header", nil
	}
	b, err := r.bytes(offset, frameHeaderSize)
	if err != nil {
		return h, nil, "", err
	}
	if h, reason = r.scratch.parse(b, at(r.number, offset)); reason != "" {
		return h, nil, reason, nil
	}
	if h.size() > min(limit, r.size)-offset {
		return h, nil, fmt.Sprintf("file ends in a frame of %d bytes", h.size()), nil
	}
	if b, err = r.bytes(offset, int(h.size())); err != nil {
		return h, nil, "", err
	}
	payload, padding := b[frameHeaderSize:frameHeaderSize+h.length], b[frameHeaderSize+h.length:]
	if crc32.Checksum(payload, castagnoli) != h.payloadSum {
		return h, nil, "frame payload checksum does not match", nil
	}
	for _, c := range padding {
		if c != 0 {
			return h, nil, "frame padding is not zero", nil
		}
	}
	return h, payload, "", nil
}

// search calls found for each sound frame header at or behind offset.
//
// A sound header alone counts, its payload may be torn: who sealed it knew what was durable. Its
// checksum covers its position, so neither stale bytes of a recycled file nor a payload that looks
// like a frame can pass for one. The cost is a look at each eighth byte; runs of zeros, which most
// of a young segment is, go by faster.
func (r *segmentReader) search(offset int64, found func(offset int64, h frameHeader)) error {
	for offset+frameHeaderSize <= r.size {
		b, err := r.bytes(offset, readWindow)
		if err != nil {
			return err
		}
		n := 0
		for ; n+frameHeaderSize <= len(b); n += frameAlign {
			if binary.LittleEndian.Uint64(b[n+8:]) == 0 {
				continue // length and kind are zero: no header
			}
			if h, reason := r.scratch.parse(b[n:], at(r.number, offset+int64(n))); reason == "" {
				found(offset+int64(n), h)
			}
		}
		offset += int64(n)
	}
	return nil
}
