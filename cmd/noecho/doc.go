// Command noecho turns a Kafka topic with duplicates into a topic without.
//
//	noecho run        the relay: reads a topic, drops every record that is a copy of an earlier one, writes the rest
//	noecho demo       the relay, a broker, echoes, a kill -9 and a proof, with nothing installed
//	noecho inspect    what a data directory holds
//	noecho ctl        the mode and the state of a running relay, by its admin endpoint
//	noecho version    what this binary is
//
// Exit status: 0 when all went well (for run: after SIGTERM or SIGINT, with everything committed), 1 when something failed
// while running, 2 when the command line or the configuration is wrong; then nothing has been opened or contacted.
//
// The parts are in internal: config (settings from file, variables and flags), connect (TLS, SASL), metrics, httpd,
// admin and demo. This package wires them to kafka and engine, and owns signals, logging and exit codes:
//
//	flags, NOECHO_*, file ─► config ─► engine.Open ─► httpd ─► kafka.Relay: Preflight, Run ─► close in reverse
//	                                                              ▲
//	                                         SIGTERM, SIGINT ─────┘ drain, commit; a second one ends at once
package main
