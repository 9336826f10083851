package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"slices"

	"noecho/bloom"
	"noecho/internal/index"
)

// refill is what a rebuild needs to know of a bucket.
type refill struct {
	num   int64
	plane int
	keys  uint64
	kept  bool

	second *bloom.Second // to be filled along with it; nil: none
}

// newRefilled makes the filter that a rebuild fills. Where planes were kept, the layer that takes the adds is as that of the newest of them that has room for
// the largest bucket: bits can be put back only into a layer of as many blocks.
func (s *shard) newRefilled(rs []refill) bloom.Filter {
	most := uint64(0)
	for _, r := range rs {
		most = max(most, r.keys)
	}
	if s.e.opt.Filter == FilterSliced {
		for _, r := range slices.Backward(rs) {
			if !r.kept {
				continue
			}
			if shape, err := s.planeShape(r.num); err == nil && shape.Capacity >= most {
				return bloom.NewShaped(bloom.Options{BitsPerKey: s.e.opt.FilterBits}, shape)
			}
		}
	}
	return s.e.newFilter()
}

// refillFrom puts a bucket into its plane of f, unless that is nil, and into its second opinion: from its file, or else from the index. It reports whether the file did, if there was one.
func (s *shard) refillFrom(ctx context.Context, f bloom.Filter, r refill) (fromFile bool, err error) {
	if planar, ok := f.(bloom.Planar); ok && r.kept {
		alone := f.Count(r.plane) == 0
		err := s.loadPlane(ctx, planar, r)
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		// What it had brought goes, unless a neighbour shares the plane, whose keys would go with it: then it stays, as false positives.
		for alone && !f.ClearSome(r.plane, 1<<30) {
		}
		s.e.removePlane(planeName(s.id, r.num))
		s.e.logger.Warn("a kept part of the filter is not used, it is read from the index", "topic", s.topic, "partition", s.partition,
			"bucket", r.num, "reason", err)
	}
	if f != nil && f.Room(r.plane) < r.keys {
		f.Open(r.plane, r.keys)
	}
	if r.second != nil {
		r.second.Grow(r.keys)()
	}
	return false, s.e.index.Scan(ctx, s.id, uint64(r.num), uint64(r.num)+1, func(_ uint64, e index.Entry) error {
		h := bloom.Hash{Hi: e.Hi, Lo: e.Lo}
		if f != nil {
			f.Add(h, r.plane)
		}
		if r.second != nil {
			r.second.Add(h)
		}
		return nil
	})
}

var (
	errOtherPlane = errors.New("it is of another bucket, partition or store")
	errFewerKeys  = errors.New("it has fewer keys than the bucket")
)

func (s *shard) loadPlane(ctx context.Context, f bloom.Planar, r refill) error {
	return s.readPlane(r.num, func(file *bloom.PlaneReader) error {
		if file.Shape.Keys < r.keys {
			return errFewerKeys
		}
		f.Restore(r.plane, file.Shape)
		return file.Each(func(from int, bits []byte) error {
			f.Inject(r.plane, file.Shape, from, bits)
			return ctx.Err()
		})
	})
}

func (s *shard) planeShape(bucket int64) (shape bloom.PlaneShape, err error) {
	err = s.readPlane(bucket, func(file *bloom.PlaneReader) error {
		shape = file.Shape
		return nil
	})
	return shape, err
}

// readPlane opens the file of a bucket's plane for f.
func (s *shard) readPlane(bucket int64, f func(*bloom.PlaneReader) error) error {
	file, err := s.e.opt.FS.Open(s.e.planePath(s.id, bucket))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	r, err := bloom.ReadPlane(bufio.NewReaderSize(file, 1<<20), info.Size())
	if err != nil {
		return err
	}
	if !bytes.Equal(r.Tag, s.planeTag(bucket)) {
		return errOtherPlane
	}
	return f(r)
}
