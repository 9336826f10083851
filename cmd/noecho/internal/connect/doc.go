// Package connect turns the connection settings into options of the Kafka client: brokers, TLS, SASL.
//
//	config.Config ── tls_ca, tls_cert, tls_key, ... ──► tls.Config (1.2 or newer)  ─┐
//	              ── sasl_mechanism, user, password ──► sasl.Mechanism              ├─► []kgo.Opt
//	              ── brokers, client_id ─────────────────────────────────────────── ┘
//
// Files are read once, at start: a certificate that was replaced on disk takes effect with the next start.
package connect
