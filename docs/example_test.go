package docs_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
)

// message is what some Kafka client delivers.
type message struct {
	id             []byte
	offset, millis int64
}

func handle(m message) error {
	fmt.Printf("%s at %d\n", m.id, m.offset)
	return nil
}

func commitToKafka(context.Context, int64) error { return nil }

func consume(ctx context.Context, p *engine.Partition, batch []message) error {
	records := make([]engine.Record, len(batch)) // reuse it: Check allocates nothing
	for i, m := range batch {
		records[i] = engine.Record{Key: m.id, Offset: m.offset, Timestamp: m.millis}
	}
	verdicts, err := p.Check(records, nil)
	if err != nil {
		return err
	}
	for i, v := range verdicts {
		if v.Kind == engine.Duplicate {
			continue // a copy of the record at offset v.First
		}
		if err := handle(batch[i]); err != nil {
			return err // not committed: it is delivered again, and passes again
		}
	}
	next := batch[len(batch)-1].offset + 1
	if err := p.Commit(ctx, next); err != nil { // returns when the marks are durable
		return err
	}
	return commitToKafka(ctx, next) // only now: Kafka's offset is never ahead of the marks
}

// The library, as README.md shows it.
func Example() {
	dir, err := os.MkdirTemp("", "noecho")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	e, err := engine.Open(dir, engine.Options{Window: 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	defer e.Close()
	p, err := e.Partition("orders", 3)
	if err != nil {
		panic(err)
	}
	now := time.Now().UnixMilli()
	batch := []message{{[]byte("order-1"), 0, now}, {[]byte("order-2"), 1, now}, {[]byte("order-1"), 2, now + 500}}
	if err := consume(context.Background(), p, batch); err != nil {
		panic(err)
	}
	// Output:
	// order-1 at 0
	// order-2 at 1
}

// TestReadmeShowsTheExample: the function in README.md is the one above, to the byte.
func TestReadmeShowsTheExample(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "```go\n")
	require.True(t, ok)
	shown, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	require.Contains(t, string(source), "\n"+shown+"\n")
}
