// Package stamp holds what a producer in another language copies into its code: Stamp.java and stamp.py, which compute the
// header noecho-id, and Produce.java and produce.py, which use it. docs/stamping.md shows and explains them.
//
// The package has no Go code but the tests of these files:
//
//	vectors_test.go  both compute every id in stamp/testdata/vectors.jsonl
//	broker_test.go   Java, Python and Go send the same orders to a real broker, each with retries; noecho leaves one of each.
//	                 Only where KAFKA_BROKERS is set, as `make test-stamp` does
//	tools_test.go    javac and a Python with a Kafka client; where one is missing its tests are skipped, and say so
package stamp
