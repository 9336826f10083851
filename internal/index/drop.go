package index

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
)

// DropBuckets removes all marks of a partition in the buckets [from, to), all
// or nothing, and they are gone for good when it returns nil. Its cost does not
// depend on how many they are (Excise): the tables leave the manifest in one
// edit and are unlinked later, paced, when the last reader that sees them is
// closed. Errors and ctx as for Ingest.
func (x *Index) DropBuckets(ctx context.Context, partition uint32, from, to uint64) error {
	if from >= to {
		return nil
	}
	// The trail first: whatever a crash leaves of the two, there is no trail of marks that are gone.
	if err := x.DropTrail(ctx, partition, from, to); err != nil {
		return err
	}
	return x.excise(ctx, partition, pebble.KeyRange{
		Start: appendPrefix(nil, partition, from),
		End:   appendPrefix(nil, partition, to),
	})
}

// DropPartition removes all marks of a partition, as DropBuckets does. Metas
// are the caller's to delete.
func (x *Index) DropPartition(ctx context.Context, partition uint32) error {
	if x.HasTrails() {
		id := partition | trailBit
		span := pebble.KeyRange{Start: appendPrefix(nil, id, 0), End: appendPartitionEnd(nil, id)}
		if err := x.excise(ctx, id, span); err != nil {
			return err
		}
	}
	return x.excise(ctx, partition, pebble.KeyRange{
		Start: appendPrefix(nil, partition, 0),
		End:   appendPartitionEnd(nil, partition),
	})
}

func (x *Index) excise(ctx context.Context, partition uint32, span pebble.KeyRange) error {
	if partition == metaPartition {
		return &InputError{What: "drop", Reason: "partition 0 is reserved for metas"}
	}
	if err := x.enterWrite(ctx); err != nil {
		return err
	}
	defer x.leaveWrite()
	err := x.call(func() error { return x.db.Excise(context.Background(), span) })
	x.changed()
	return err
}

// DiskBytes estimates the bytes on disk of a partition's marks and trail in the buckets
// [from, to): exact for whole tables, by blocks for parts.
func (x *Index) DiskBytes(partition uint32, from, to uint64) (uint64, error) {
	return x.diskBytes(from, to, partition, partition|trailBit)
}

// TrailBytes is the part of DiskBytes that the trail takes.
func (x *Index) TrailBytes(partition uint32, from, to uint64) (uint64, error) {
	return x.diskBytes(from, to, partition|trailBit)
}

func (x *Index) diskBytes(from, to uint64, ids ...uint32) (uint64, error) {
	if from >= to {
		return 0, nil
	}
	if err := x.enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	result := make(chan uint64, 1)
	err := x.call(func() error {
		total := uint64(0)
		for _, id := range ids {
			// The end is inclusive here, but a bare prefix is no key of ours.
			n, err := x.db.EstimateDiskUsage(appendPrefix(nil, id, from), appendPrefix(nil, id, to))
			if err != nil {
				result <- 0
				return err
			}
			total += n
		}
		result <- total
		return nil
	})
	if err != nil {
		return 0, err
	}
	return <-result, nil
}
