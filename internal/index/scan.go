package index

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// scanCheckEvery is how many keys a scan reads between two looks at its context,
// the index's failure and its closing: about 0.1 ms.
const scanCheckEvery = 1 << 10

// Scan calls fn for each mark of a partition in the buckets [fromBucket,
// toBucket), ascending by bucket and hash, from one snapshot. It ends with the
// first error of fn, and with ErrClosed when Close begins.
func (x *Index) Scan(
	ctx context.Context, partition uint32, fromBucket, toBucket uint64,
	fn func(bucket uint64, e Entry) error,
) error {
	if fromBucket >= toBucket {
		return nil
	}
	lower := appendPrefix(nil, partition, fromBucket)
	upper := appendPrefix(nil, partition, toBucket)
	return x.each(ctx, lower, upper, func(key, value []byte) error {
		_, bucket, hi, lo, ok := decodeKey(key)
		offset, ok2 := decodeOffset(value)
		if !ok || !ok2 {
			return x.badEntry(key, value)
		}
		return fn(bucket, Entry{Hi: hi, Lo: lo, Offset: offset})
	})
}

// EachMeta calls fn for each meta, ascending by key. The slices are valid until
// fn returns. It ends with the first error of fn.
func (x *Index) EachMeta(fn func(key, value []byte) error) error {
	lower := appendMetaKey(nil, nil)
	upper := appendPartitionEnd(nil, metaPartition)
	return x.each(context.Background(), lower, upper, func(key, value []byte) error {
		return fn(key[partitionLen:], value)
	})
}

// GetMeta returns a copy of the value of a meta; ok is false when there is none.
func (x *Index) GetMeta(key []byte) (value []byte, ok bool, err error) {
	lower := appendMetaKey(nil, key)
	upper := append(appendMetaKey(nil, key), 0)
	err = x.each(context.Background(), lower, upper, func(_, v []byte) error {
		value, ok = append([]byte{}, v...), true
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return value, ok, nil
}

// each calls fn for the keys in [lower, upper) of one snapshot.
func (x *Index) each(
	ctx context.Context, lower, upper []byte, fn func(key, value []byte) error,
) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return x.wrap(err)
	}
	defer x.closeIterator(it)
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n%scanCheckEvery == 0 {
			if err := x.interrupted(ctx); err != nil {
				return err
			}
		}
		n++
		value, err := it.ValueAndErr()
		if err != nil {
			return x.wrap(err)
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return x.wrap(it.Error())
}

// interrupted says whether a long call has to end.
func (x *Index) interrupted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if x.ctx.Err() != nil {
		return ErrClosed
	}
	return x.failure()
}

// badEntry is the error for an entry that passed its checksum and is not one of
// ours.
func (x *Index) badEntry(key, value []byte) error {
	return &CorruptionError{Dir: x.dir, Reason: fmt.Sprintf("entry %x = %x does not decode", key, value)}
}
