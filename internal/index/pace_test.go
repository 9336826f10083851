package index

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPace: a merge waits while an Ingest writes its tables, goes on when they
// are written, and does not wait when it is behind.
func TestPace(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	var passed atomic.Int32
	merge := func() { x.pace(); passed.Add(1) }

	x.pace() // nobody seals
	writing, more := make(chan struct{}), make(chan struct{})
	ingested := make(chan error)
	go func() {
		ingested <- x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: func(yield func(Entry) bool) {
			close(writing)
			<-more
			yield(Entry{1, 1, 1})
		}}}, nil)
	}()
	<-writing
	go merge()
	time.Sleep(20 * time.Millisecond)
	require.Zero(t, passed.Load())
	x.behind.Store(true)
	x.pace()
	x.behind.Store(false)
	close(more)
	require.NoError(t, <-ingested)
	eventually(t, "goes on", func() bool { return passed.Load() == 1 })

	// A seal that goes wrong gives way too.
	require.Error(t, x.Ingest(ctxb, []Run{run(0, 1, Entry{1, 1, 1})}, nil))
	x.pace()

	// Close does not wait for a merge that waits.
	end := x.seal()
	defer end()
	go merge()
	require.NoError(t, x.Close())
	eventually(t, "let go by Close", func() bool { return passed.Load() == 2 })
}
