package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/errors/oserror"

	"noecho/bloom"
)

// Kept planes: what the filter has of a bucket that has ended, in a file.
//
// After a crash the filter has to be made anew, and the naive way reads the whole index for it: 0.13 us a key, minutes where there are a thousand
// million, in which each new key is looked up in every bucket. But a bucket that has ended gets no marks any more, so its plane
// is final: it is written down once, a bit a slot, 2 bytes a key where the index takes 21, and a rebuild reads that. What is left to
// read from the index is the bucket that was current.
//
// That a bucket has ended must be durable first: the boundary of the next one may be in a part of the log that a crash takes back, and then the
// bucket goes on. From then on a file is good for ever: partition ids and bucket numbers are never used again, and marks that were removed since cost
// a false positive. It goes with its bucket; what a crash left behind goes at the next Open. Buckets of few keys have none, nor have those
// in a layer made for many more: reading them from the index takes no time.
//
// The planter takes the bits out, under the shard's lock, piece by piece; a goroutine writes.

const (
	planeSuffix = ".plane"
	planePiece  = 4 << 10 // bytes of a file under one hold of the lock: 32 KiB of the filter, some 15 us
	planePieces = 16      // on the way from the planter to the file
	// keptShare: a layer for so many times the bucket's keys is not worth a file, which is as large as the layer.
	keptShare = 8
	// leastKept is the number of keys from which on a bucket's plane is kept.
	leastKept = 1 << 20
)

func planeName(id uint32, bucket int64) string {
	return fmt.Sprintf("%08d.%d%s", id, bucket, planeSuffix)
}

// parsePlaneName is the inverse of planeName.
func parsePlaneName(name string) (id uint32, bucket int64, ok bool) {
	if !strings.HasSuffix(name, planeSuffix) {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(name, "%d.%d", &id, &bucket)
	return id, bucket, err == nil && n == 2 && name == planeName(id, bucket)
}

// planeTag ties a file to the bucket it is of, and to its store, whatever it is called.
func (s *shard) planeTag(bucket int64) []byte {
	b := append([]byte(s.e.header.ID), '/')
	b = binary.AppendUvarint(b, uint64(s.id))
	return binary.AppendVarint(b, bucket)
}

func (e *Engine) planePath(id uint32, bucket int64) string {
	return e.opt.FS.PathJoin(e.dir, filterDir, planeName(id, bucket))
}

// keeping is a plane that is being written down. The planter owns it.
type keeping struct {
	bucket int64
	shape  bloom.PlaneShape
	at     int           // the next block
	pieces chan []byte   // bits, in order; as many buffers as it has room for, so that the planter never waits
	used   chan []byte   // given back
	done   chan struct{} // closed when the goroutine has ended, after err was set
	err    error
	cancel context.CancelFunc
}

// keepSome begins to write down the plane of a bucket that has ended, or goes on with it, and reports whether there is more to do at once.
// Called by the planter with mu held.
func (s *shard) keepSome() bool {
	k := s.keeping
	if k == nil {
		return s.beginKeep()
	}
	select {
	case <-k.done:
		s.endKeep(k)
		return true
	default:
	}
	b := s.find(k.bucket)
	if b != nil && b.bit != 0 && k.at < k.shape.Blocks {
		f := s.filter.(bloom.Planar)
		if shape, whole := f.Whole(b.plane()); whole && shape == k.shape {
			select {
			case p := <-k.used:
				n := f.Extract(b.plane(), k.at, p[:planePiece])
				k.at += n
				k.pieces <- p[:n*bloom.PlaneBlockBytes]
				return true
			default:
				return false // the goroutine tells
			}
		}
	}
	if k.at < k.shape.Blocks {
		k.cancel() // the bucket died, or its keys have moved
	}
	return false
}

// beginKeep looks for a bucket that has ended, and is whole in the index and in one layer of the filter, in a plane of its own.
func (s *shard) beginKeep() bool {
	f, planar := s.filter.(bloom.Planar)
	if !planar || s.maybe != 0 || s.rebuild != nil || s.gather != nil || s.e.closed.Load() {
		return false
	}
	for i := 0; i < len(s.buckets)-1; i++ {
		b := &s.buckets[i]
		if s.buckets[i+1].first >= s.durable {
			return false
		}
		if b.kept || !b.stored || b.keys < uint64(s.e.opt.leastKept) || !s.ownPlane(i) || !s.allEvictable(b) {
			continue
		}
		shape, whole := f.Whole(b.plane())
		if whole && shape.Keys >= b.keys && shape.Keys >= shape.Capacity/keptShare {
			b.kept = true // or it was tried
			s.startKeep(b.num, shape)
			return true
		}
	}
	return false
}

func (s *shard) startKeep(bucket int64, shape bloom.PlaneShape) {
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeping{bucket: bucket, shape: shape, pieces: make(chan []byte, planePieces), used: make(chan []byte, planePieces), done: make(chan struct{}), cancel: cancel}
	for range cap(k.used) {
		k.used <- make([]byte, planePiece)
	}
	s.keeping = k
	tag := s.planeTag(bucket)
	go func() {
		defer s.e.sow()
		defer close(k.done)
		defer cancel()
		fs := s.e.opt.FS
		k.err = writeFile(fs, fs.PathJoin(s.e.dir, filterDir), planeName(s.id, bucket), func(w io.Writer) error {
			var last []byte
			return bloom.SavePlane(w, shape, tag, func() ([]byte, error) {
				if last != nil {
					k.used <- last[:planePiece]
					s.e.sow()
				}
				select {
				case last = <-k.pieces:
					return last, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		})
	}()
}

// endKeep takes note of how it ended.
func (s *shard) endKeep(k *keeping) {
	s.keeping = nil
	b := s.find(k.bucket)
	switch {
	case k.err == nil && b == nil:
		// It died while its file was written, and was not known to have one.
		s.drops = append(s.drops, dropRange{from: k.bucket, to: k.bucket + 1, plane: true})
		s.e.wake()
	case b != nil && errors.Is(k.err, context.Canceled):
		b.kept = false // given up because the filter changed: once more
	case k.err != nil && b != nil:
		// Not once more: a disk that is full stays full, and this is worth no retries. The next bucket is tried.
		s.e.logger.Warn("a bucket's part of the filter could not be kept: after a crash it is read from the index", "topic", s.topic,
			"partition", s.partition, "bucket", k.bucket, "err", k.err)
	}
}

// stopKeep gives up the keeping, and waits for its goroutine. Called without mu, when the planter has ended or while the shard is in no map.
func (s *shard) stopKeep() {
	s.mu.Lock()
	k := s.keeping
	s.keeping = nil
	s.mu.Unlock()
	if k != nil {
		k.cancel()
		<-k.done
	}
}

// removePlanes removes the files of dead buckets.
func (e *Engine) removePlanes(id uint32, from, to int64) {
	for num := from; num < to; num++ {
		e.removePlane(planeName(id, num))
	}
}

// removePlane removes a file. That one stays is no harm: see sweepPlanes.
func (e *Engine) removePlane(name string) {
	path := e.opt.FS.PathJoin(e.dir, filterDir, name)
	if err := e.opt.FS.Remove(path); err != nil && !oserror.IsNotExist(err) {
		e.logger.Warn("a file of the filter could not be removed, the next start tries again", "file", path, "err", err)
	}
}

// sweepPlanes removes the files of buckets that are no more, and takes note of the others. Called by Open, after the recovery.
func (e *Engine) sweepPlanes() error {
	return e.eachPlane(func(name string, id uint32, num int64, whole bool) {
		if s := e.byID[id]; s != nil && whole {
			if b := s.find(num); b != nil {
				b.kept = true
				return
			}
		}
		e.removePlane(name)
	})
}

// sweepPlanesOf removes all files of a partition.
func (e *Engine) sweepPlanesOf(dead uint32) error {
	return e.eachPlane(func(name string, id uint32, _ int64, _ bool) {
		if id == dead {
			e.removePlane(name)
		}
	})
}

// eachPlane calls f for the files of planes; those that are not whole are what a crash left of one being written.
func (e *Engine) eachPlane(f func(name string, id uint32, bucket int64, whole bool)) error {
	names, err := e.opt.FS.List(e.opt.FS.PathJoin(e.dir, filterDir))
	if err != nil {
		return fmt.Errorf("engine: looking for the files of the filter: %w", err)
	}
	for _, name := range names {
		stem := strings.TrimSuffix(name, tmpSuffix)
		if id, num, ok := parsePlaneName(stem); ok {
			f(name, id, num, stem == name)
		}
	}
	return nil
}
