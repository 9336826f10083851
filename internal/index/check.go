package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
)

// Check reads the whole index: the order of keys within and between levels, the
// checksum of every block, and that every key and value is one of ours. It
// returns the first thing that does not hold.
func (x *Index) Check() error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	if err := x.call(func() error { return x.db.CheckLevels(nil) }); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	upper := appendPartitionEnd(nil, math.MaxUint32)
	return x.each(context.Background(), nil, upper, x.checkEntry)
}

func (x *Index) checkEntry(key, value []byte) error {
	if len(key) >= partitionLen && binary.BigEndian.Uint32(key) == metaPartition {
		return nil // metas are the caller's
	}
	if _, _, _, trail := decodeTrailKey(key); trail {
		return nil // so are the blocks of a trail
	}
	_, _, _, _, okKey := decodeKey(key)
	if _, okValue := decodeOffset(value); !okKey || !okValue {
		return x.badEntry(key, value)
	}
	return nil
}
