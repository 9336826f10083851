// Package relays runs relays of all kinds, each a process of its own, on a Kafka broker, and measures them: from an empty output to a full one,
// with the processor time that the relay and the broker took. It also has the relay that a careful user of franz-go writes.
package relays
