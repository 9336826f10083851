package stamp_test

import (
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/stamp"
)

// A client whose records are all stamped, as docs/stamping.md shows it.
func newProducer(brokers ...string) (*kgo.Client, error) {
	s, err := stamp.New(stamp.Options{Fields: "json:order.id"})
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.WithHooks(s.Hook(func(r *kgo.Record, err error) {
		slog.Warn("sent without an id", "error", err)
	})))
}

func Example() {
	client, err := newProducer("127.0.0.1:9092")
	if err != nil {
		panic(err)
	}
	defer client.Close()
	fmt.Println(client.OptValue(kgo.SeedBrokers))
	// Output: [127.0.0.1:9092]
}

// Where a record without an id must not be sent.
func ExampleStamper_Record() {
	s, err := stamp.New(stamp.Options{Fields: "json:order.id"})
	if err != nil {
		panic(err)
	}
	for _, value := range []string{
		`{"order": {"id": "o-17"}, "attempt": 1}`,
		`{"order": {"id": "o-17"}, "attempt": 2}`,
		`{"order": {}}`,
	} {
		r := kgo.StringRecord(value)
		if err := s.Record(r); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s: %s\n", r.Headers[0].Key, r.Headers[0].Value)
	}
	fmt.Println(stamp.ID("json:order.id", []byte("o-17")))
	// Output:
	// noecho-id: ea42c06e6f2594eaee665615df3fe2e1
	// noecho-id: ea42c06e6f2594eaee665615df3fe2e1
	// stamp: a record for topic "" has no json:order.id, so it was not stamped; fill that in, choose other fields, or send it without an id (copies of it pass)
	// ea42c06e6f2594eaee665615df3fe2e1
}
