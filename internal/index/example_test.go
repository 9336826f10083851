package index_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/internal/index"
)

// A sealed table goes in with the metadata that describes it, in one step; a
// batch looks keys up through one reader; a dead bucket goes at once.
func Example() {
	ctx := context.Background()
	x, err := index.Open("index", index.Options{FS: vfs.NewMem()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer x.Close()

	sealed := []index.Entry{{Hi: 1, Lo: 7, Offset: 1000}, {Hi: 2, Lo: 3, Offset: 1001}}
	err = x.Ingest(ctx,
		[]index.Run{{Partition: 1, Bucket: 42, Entries: slices.Values(sealed)}},
		[]index.Meta{{Key: []byte("coverage/1"), Value: []byte("1002")}})
	if err != nil {
		fmt.Println(err)
		return
	}

	r, err := x.Reader()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Get(1, 42, 2, 3))
	fmt.Println(r.Get(1, 42, 2, 4))
	_ = r.Close()

	if err := x.DropBuckets(ctx, 1, 0, 43); err != nil {
		fmt.Println(err)
		return
	}
	if err := x.ResetReader(r); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Get(1, 42, 2, 3))
	_ = r.Close()
	// Output:
	// 1001 true <nil>
	// 0 false <nil>
	// 0 false <nil>
}
