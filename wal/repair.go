package wal

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// repair makes what scan found the truth on disk, before anyone acts on it.
//
//  1. What no frame proves to be durable is written again and synced. Naive: trust what was read.
//     But it may come from the page cache only: the process died, not the machine, or an fsync
//     failed and left pages that are called clean. Were it replayed and then lost in a power cut,
//     frames that a reader acted on would be gone.
//  2. Frame headers behind the end are zeroed. They are from groups that were on their way in the
//     crash: parts of them reached the disk. Naive: overwrite them as the log grows. But frames of
//     other lengths will be written there, one may end just where an old frame begins, and after
//     the next crash that old frame would follow as if it belonged there. We go on in the same
//     segment (a new one for each start would cost a segment a restart), so we make sure that no
//     header of this segment is left behind its end.
//
// A crash in the middle of it changes nothing of what scan finds: frames in place are rewritten
// with their own bytes, and each header zeroed makes fewer of what is not to be.
func (r *recovery) repair(dir vfs.File) error {
	for _, path := range r.garbage {
		if err := r.fs.Remove(path); err != nil {
			return ioError("remove", path, err)
		}
	}
	if len(r.segments) > 0 {
		if err := r.repairLast(&r.segments[len(r.segments)-1]); err != nil {
			return err
		}
	}
	// Names as well may be in the page cache only.
	if err := dir.Sync(); err != nil {
		return ioError("sync directory", r.dir, err)
	}
	return nil
}

func (r *recovery) repairLast(s *scanned) error {
	f, err := r.fs.OpenReadWrite(s.path, category)
	if err != nil {
		return ioError("open", s.path, err)
	}
	if err = r.rewrite(f, s); err == nil {
		err = f.SyncData()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return ioError("repair", s.path, err)
	}
	if len(r.revived) > 0 {
		r.logger.Warn("cut off a torn write at the end of the write-ahead log",
			"path", s.path, "offset", s.end, "frames", len(r.revived))
	}
	return nil
}

func (r *recovery) rewrite(f vfs.File, s *scanned) error {
	buf := make([]byte, min(readWindow, s.end-r.proven))
	for offset := r.proven; offset < s.end; {
		chunk := buf[:min(int64(len(buf)), s.end-offset)]
		if _, err := f.ReadAt(chunk, offset); err != nil {
			return err
		}
		n, err := f.WriteAt(chunk, offset)
		if err != nil {
			return err
		}
		offset += int64(n)
	}
	var zeros [frameHeaderSize]byte
	for _, offset := range r.revived {
		clear(zeros[:])
		if _, err := f.WriteAt(zeros[:], offset); err != nil {
			return err
		}
	}
	return nil
}
