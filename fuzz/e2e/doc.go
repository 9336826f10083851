// Package e2e tests the noecho binary from outside: a topic with duplicates in, a topic without duplicates out, and
// SIGKILL at any moment. It holds tests only.
//
//	test process                        processes of their own
//	feed: plan -> records ----------->  broker (input topic) --+
//	kill: watch output, SIGKILL ----->  noecho run             | Kafka protocol on loopback TCP
//	tally: read output back <---------  broker (output topic) -+
//
// The broker is kfake in a process of its own, or, when KAFKA_BROKERS is set (scripts/kafka.sh run ...), a real one;
// the tests are the same. The oracle knows nothing of noecho: every record carries in its value which original it is,
// so the output is judged by counting (plan_test.go, tally_test.go). That the oracle and the harness around it can fail
// is itself tested, on relays that lose, repeat and reorder (naive_test.go).
//
// TestKillScopeTopic is the kill run for a producer without keys, with an oracle of its own (keyless_test.go): each message once in the whole
// output, whichever partitions its tries went to, also where every other life finds its disk gone.
//
// TestChaos has three members of one group, which are killed (some with their disks), stopped and frozen at random: what the documentation says of a member that Kafka had
// given up, and of partitions that change hands, is excused, and counted. TestGroupProtocol has two members in a group that the brokers assign, and on a real
// broker the group goes over to that, and back, while records flow. TestCluster leaves the members alone and takes the brokers away.
//
// Knobs, all optional:
//
//	KAFKA_BROKERS        host:port,...: a real broker; topics and groups get names nobody else has
//	NOECHO_E2E_RECORDS   records of the kill run (default 1000000, with -short 60000)
//	NOECHO_E2E_KILLS     kills while records flow (default 20, with -short 4)
//	NOECHO_E2E_RATE      records a second the producer offers (default 30000)
//	NOECHO_E2E_CHAOS     seconds in which TestChaos disturbs its three members (default 30, with -short 20)
//	NOECHO_E2E_ROUNDS    rounds of TestCluster, each of which takes three brokers away (default 2, with -short 1)
//	NOECHO_E2E_FENCING   transactional: TestChaos has its members write so, reads the output as read_committed does, and excuses nothing
//	NOECHO_E2E_CHANGELOG 1: TestChaos has its members write a changelog and follow it as standbys
//	NOECHO_E2E_SEED      seed of the random choices (default: drawn, and printed)
//	NOECHO_E2E_BINARY    a noecho binary to test in place of one built from this tree
//	NOECHO_E2E_TAGS      build tags of the binary, for example invariants
package e2e
