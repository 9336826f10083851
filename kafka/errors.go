package kafka

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSameTopic is returned where input and output are one topic.
var ErrSameTopic = errors.New("kafka: input and output are the same topic: the relay would read what it writes, for ever; name another output")

// KeySpecError says which part of a key specification is wrong.
type KeySpecError struct {
	Spec, Part string
	Reason     string
}

func (e *KeySpecError) Error() string {
	return fmt.Sprintf("kafka: key %q: part %q: %s; a key is one or more of payload, key, value, header:NAME, json:PATH, joined with +", e.Spec, e.Part, e.Reason)
}

// ConfigError holds every violation found in a RelayConfig or ConsumerConfig, one sentence each, which begins with the name of a setting
// (as the fields are called, but on_duplicate for OnDuplicate).
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string { return "kafka: config: " + strings.Join(e.Problems, "; ") }

// BrokerError says that no broker answered, or that none let us in.
type BrokerError struct{ Err error }

func (e *BrokerError) Error() string {
	return fmt.Sprintf("kafka: no broker answered (%v); check the brokers' addresses, that they can be reached from here, and the TLS and SASL settings", e.Err)
}

func (e *BrokerError) Unwrap() error { return e.Err }

// TopicError says that a topic is missing or may not be used.
type TopicError struct {
	Topic string
	Hint  string
	Err   error
}

func (e *TopicError) Error() string {
	return fmt.Sprintf("kafka: topic %q: %v; %s", e.Topic, e.Err, e.Hint)
}

func (e *TopicError) Unwrap() error { return e.Err }

// GroupError says that the consumer group cannot be used.
type GroupError struct {
	Group string
	Hint  string
	Err   error
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("kafka: group %q: %v; %s", e.Group, e.Err, e.Hint)
}

func (e *GroupError) Unwrap() error { return e.Err }

// ProtocolError says that the group cannot be one of ProtocolConsumer.
type ProtocolError struct {
	Group  string
	Reason string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("kafka: group %q: group_protocol is consumer, but %s; it takes brokers of Kafka 4.0 or later that have consumer among their "+
		"group.coordinator.rebalance.protocols and the feature group.version at 1 (kafka-features.sh upgrade --feature group.version=1); else set group_protocol to classic",
		e.Group, e.Reason)
}

// PartitionCountError says that the output has fewer partitions than the input. A record keeps its partition's number.
type PartitionCountError struct {
	Input, Output   string
	InputN, OutputN int
}

func (e *PartitionCountError) Error() string {
	return fmt.Sprintf("kafka: output %q has %d partitions, input %q has %d; a record keeps its partition's number, so give the output at least %d",
		e.Output, e.OutputN, e.Input, e.InputN, e.InputN)
}

// MessageSizeError says that the output takes smaller records than the input.
type MessageSizeError struct {
	Input, Output           string
	InputBytes, OutputBytes int
}

func (e *MessageSizeError) Error() string {
	return fmt.Sprintf("kafka: output %q takes batches of at most %d bytes, input %q of %d: a large record would stop the relay; set max.message.bytes of the output to %d or more",
		e.Output, e.OutputBytes, e.Input, e.InputBytes, e.InputBytes)
}

// MissingKeyError says which record has no key, with OnMissingKey=fail.
type MissingKeyError struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string // the specification
}

func (e *MissingKeyError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the record at offset %d has no key %q; mend the producer, choose another key, or set on_missing_key to pass or drop",
		e.Topic, e.Partition, e.Offset, e.Key)
}

// OffsetError says that the group stands at an offset that the input cannot have given: beyond the log's end.
type OffsetError struct {
	Topic      string
	Partition  int32
	Offset     int64
	Start, End int64
}

func (e *OffsetError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the group or the store stands at offset %d, but the log holds [%d, %d): was the topic deleted and made again? "+
		"reset the group's offsets and remove the data directory, or put the old topic back", e.Topic, e.Partition, e.Offset, e.Start, e.End)
}

// LearnError says that what the store is missing cannot be read from the input again.
type LearnError struct {
	Topic     string
	Partition int32
	From, To  int64 // offsets that are still to be learned; From -1: nothing was read yet
	Err       error
}

func (e *LearnError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the store does not know what came before offset %d, and it cannot be learned from the input (from %d on): %v; "+
		"mend that, or set learn to off to go on without it: then copies of those records pass", e.Topic, e.Partition, e.To, e.From, e.Err)
}

func (e *LearnError) Unwrap() error { return e.Err }

// SourceError says that the output holds a record that names a source offset beyond the input's end: the relay has not
// written it. To go on would mean to drop every record of the input up to there.
type SourceError struct {
	Input, Output string
	Partition     int32
	Source        int64 // the largest source offset found
	End           int64 // of the input
}

func (e *SourceError) Error() string {
	return fmt.Sprintf("kafka: output %q, partition %d: a record says it comes from %s/%d/%d, but that log ends at %d: somebody else writes the header %s there, "+
		"or the input was deleted and made again; give the relay an output of its own, or reset the group's offsets with the usual tool (then the output is not looked at)",
		e.Output, e.Partition, e.Input, e.Partition, e.Source, e.End, sourceHeader)
}

// ProduceError says that the broker refused a batch for good. Nothing of the partition after it was sent; after the
// cause is mended a restart goes on at First.
type ProduceError struct {
	Topic       string // the output, or the duplicates'
	Partition   int32
	First, Last int64 // source offsets in the batch
	Bytes       int   // size of the batch as sent
	Err         error
}

func (e *ProduceError) Error() string {
	if e.First == e.Last && tooLarge(e.Err) {
		return fmt.Sprintf("kafka: %s/%d: the topic does not take the record with the source offset %d (%d bytes as a batch of its own): %v; nothing after it was sent: "+
			"set its max.message.bytes above that and restart", e.Topic, e.Partition, e.First, e.Bytes, e.Err)
	}
	return fmt.Sprintf("kafka: %s/%d: the broker refused the batch with the source offsets %d to %d (%d bytes): %v; nothing after it was sent: mend the cause (permissions, disk) and restart",
		e.Topic, e.Partition, e.First, e.Last, e.Bytes, e.Err)
}

func (e *ProduceError) Unwrap() error { return e.Err }

// HandlerError says that a consumer's handler failed in all its tries, or panicked. Nothing from First on was committed: the next start
// hands it over again.
type HandlerError struct {
	Topic       string
	Partition   int32
	First, Last int64 // offsets of the records that are not done
	Records     int   // how many of them there are
	Attempts    int   // calls of the handler
	Err         error // what it returned last; a *PanicError where it panicked
}

func (e *HandlerError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the handler failed on %d records with offsets %d to %d, attempt %d: %v; nothing of them was committed: mend the cause and restart, "+
		"or set on_error to skip or dead-letter", e.Topic, e.Partition, e.Records, e.First, e.Last, e.Attempts, e.Err)
}

func (e *HandlerError) Unwrap() error { return e.Err }

// PanicError is what a panic in a handler becomes. It is not tried again: what the handler has left behind is not known.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the value of the panic where that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// DeadLetterError says that records could not be written to the dead-letter topic. Nothing from First on was committed; what was
// written already is written once more after a restart.
type DeadLetterError struct {
	Topic           string
	Partition       int32
	First, Last     int64 // offsets of the records
	DeadLetterTopic string
	Err             error
}

func (e *DeadLetterError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the records with offsets %d to %d could not be written to the dead-letter topic %q: %v; nothing of them was committed: mend the cause (permissions, "+
		"max.message.bytes) and restart", e.Topic, e.Partition, e.First, e.Last, e.DeadLetterTopic, e.Err)
}

func (e *DeadLetterError) Unwrap() error { return e.Err }

// ScopeError says why ScopeTopic cannot be kept.
type ScopeError struct {
	Topic, Group string
	Reason       string
}

func (e *ScopeError) Error() string {
	return fmt.Sprintf("kafka: topic %q, group %q: scope is topic, and %s: what one store knows of a partition the other does not, and copies would pass; "+
		"run one process for the topic (or wait until the other one's session has expired), or set scope to partition and have the producer send a retry to the partition of the first attempt",
		e.Topic, e.Group, e.Reason)
}

// FencedError says that another process took over the group membership.
type FencedError struct {
	InstanceID string
	Err        error
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("kafka: another process joined the group with the instance id %q (%v); run one process for each instance id and data directory", e.InstanceID, e.Err)
}

func (e *FencedError) Unwrap() error { return e.Err }

// ErrRecreated is the cause in a TopicError when a topic has another id than before: what is known of it is of another topic.
var ErrRecreated = errors.New("it was deleted and made again under the same name")

// ModeError says why a mode cannot be set.
type ModeError struct {
	Mode   Mode
	Reason string
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("kafka: mode %q: %s", string(e.Mode), e.Reason)
}

// errNoStore: a relay without a store was asked for a verdict, which its mode should have excluded.
var errNoStore = errors.New("kafka: there is no store to decide with")

// PackError says that a record of the changelog cannot be read.
type PackError struct{ Reason string }

func (e *PackError) Error() string {
	return fmt.Sprintf("kafka: a record of the changelog: %s; what it tells is learned from the input instead", e.Reason)
}

// ChangelogError says that the changelog does not take a partition's marks, and that trying again cannot help. Nothing is lost: no
// offset was committed ahead of them.
type ChangelogError struct {
	Topic     string
	Partition int32
	Err       error
}

func (e *ChangelogError) Error() string {
	return fmt.Sprintf("kafka: changelog %s/%d does not take the marks (%v); check that the topic exists, has as many partitions as the input, "+
		"takes records of 16 KiB, and that noecho's user may WRITE it; or run without changelog_topic", e.Topic, e.Partition, e.Err)
}

func (e *ChangelogError) Unwrap() error { return e.Err }
