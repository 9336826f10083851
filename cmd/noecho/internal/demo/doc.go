// Package demo is `noecho demo`: a broker, a shop that repeats itself, the relay, a murder and a proof, in one command and
// without anything installed.
//
//	this process                                             child process (the same binary)
//	┌────────────────────────────────────────────┐           ┌───────────────────────────┐
//	│ shop ── orders and echoes ──► broker       │           │ noecho run                │
//	│                                 orders ────┼──────────►│   --input orders          │
//	│                          orders-unique ◄───┼───────────│   --output orders-unique  │
//	│ view ◄── rates, /metrics of the relay ─────┼───────────│   --key json:order_id     │
//	│ proof ◄─ both topics, read back            │  SIGKILL  │                           │
//	│ script ────────────────────────────────────┼──────────►│ (then started again)      │
//	└────────────────────────────────────────────┘           └───────────────────────────┘
//
// The echoes are the ones that real producers make: a request that timed out is sent again (Retry), an operator replays
// a stretch of the past (Replay), a producer that lost its own position sends its last seconds again (Resent). An echo
// is not byte-identical: its attempt count differs, as it does in life; the order id is what names the message.
//
// The relay is killed with SIGKILL in the middle of a replay, because that is when it has most to lose. The proof does
// not ask the relay: it reads both topics back and compares the order ids in the values.
//
// Run owns everything it starts: the broker, the child and the temporary directory are gone when it returns, and the
// child dies with this process even if that is killed (Linux).
package demo
