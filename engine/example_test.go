package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"noecho/engine"
)

// A consumer's loop: check a batch, handle what passed, commit. The commit makes the marks durable, so it comes before the
// offset is given to Kafka.
func Example() {
	dir, err := os.MkdirTemp("", "noecho")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	e, err := engine.Open(dir, engine.Options{Window: 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	p, err := e.Partition("orders", 3)
	if err != nil {
		log.Fatal(err)
	}

	now := time.Now().UnixMilli()
	records := []engine.Record{
		{Key: []byte("order-1"), Offset: 100, Timestamp: now},
		{Key: []byte("order-2"), Offset: 101, Timestamp: now},
		{Key: []byte("order-1"), Offset: 102, Timestamp: now}, // a retry of the producer
	}
	verdicts, err := p.Check(records, nil)
	if err != nil {
		log.Fatal(err)
	}
	for i, v := range verdicts {
		fmt.Println(records[i].Offset, v.Kind, v.First)
	}
	if err := p.Commit(context.Background(), 103); err != nil {
		log.Fatal(err)
	}

	// The same records once more, as after a crash of the consumer: the originals pass again, the copy does not.
	verdicts, err = p.Check(records, verdicts[:0])
	if err != nil {
		log.Fatal(err)
	}
	for i, v := range verdicts {
		fmt.Println(records[i].Offset, v.Kind, v.First)
	}
	// Output:
	// 100 unique 100
	// 101 unique 101
	// 102 duplicate 100
	// 100 redelivery 100
	// 101 redelivery 101
	// 102 duplicate 100
}

// Lookup and Forget are an operator's: a key whose message failed for good gives its place to the next copy.
func ExamplePartition_Forget() {
	dir, err := os.MkdirTemp("", "noecho")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	e, err := engine.Open(dir, engine.Options{Window: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	p, err := e.Partition("orders", 0)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.Check([]engine.Record{{Key: []byte("order-7"), Offset: 42}}, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Lookup([]byte("order-7")))
	if err := p.Forget([]byte("order-7")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Lookup([]byte("order-7")))
	// Output:
	// 42 true <nil>
	// 0 false <nil>
}
