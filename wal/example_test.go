package wal_test

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/wal"
)

// printer prints the changes in a frame.
type printer struct{}

func (printer) Boundary(bucket uint64, first int64) error {
	fmt.Printf("  bucket %d from offset %d\n", bucket, first)
	return nil
}

func (printer) Mark(bucket, hi, lo uint64, offset int64) error {
	fmt.Printf("  bucket %d: %x%x -> %d\n", bucket, hi, lo, offset)
	return nil
}

func (printer) Forget(bucket, hi, lo uint64) error {
	fmt.Printf("  bucket %d: %x%x forgotten\n", bucket, hi, lo)
	return nil
}

func (printer) Floor(bucket uint64) error {
	fmt.Printf("  nothing below bucket %d\n", bucket)
	return nil
}

// A log is written, the machine goes down, and the log is read again.
func Example() {
	fs := vfs.NewCrashableMem()
	none := func(wal.Position, []byte) error { return nil }
	log, err := wal.Open("store/wal", wal.Options{FS: fs}, none)
	if err != nil {
		panic(err)
	}

	var e wal.Encoder
	e.Begin(3, 1, 100)
	e.Boundary(7, 100)
	e.Mark(7, 0xaa, 0x01, 100)
	e.Mark(7, 0xbb, 0x02, 104)
	pos, err := log.Append(e.Finish(105, 90, 1_700_000_000_000))
	if err != nil {
		panic(err)
	}
	if err := log.Sync(context.Background(), pos); err != nil {
		panic(err)
	}

	crashed := fs.CrashClone(vfs.CrashCloneCfg{}) // keeps what was synced, and nothing else
	_ = log.Close()

	log, err = wal.Open("store/wal", wal.Options{FS: crashed}, func(pos wal.Position, payload []byte) error {
		frame, err := wal.Decode(payload)
		if err != nil {
			return err
		}
		fmt.Printf("%v: partition %d, offsets %d to %d\n", pos, frame.Partition, frame.From, frame.To)
		return frame.Visit(printer{})
	})
	if err != nil {
		panic(err)
	}
	_ = log.Close()
	// Output:
	// 1:32: partition 3, offsets 100 to 105
	//   bucket 7 from offset 100
	//   bucket 7: aa1 -> 100
	//   bucket 7: bb2 -> 104
}
