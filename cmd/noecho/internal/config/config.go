package config

import (
	"time"

	"noecho/kafka"
)

// Config is every setting of `noecho run`. The zero value is of no use; start from Default. Field docs are in the
// table of Settings, which is what users read.
type Config struct {
	// Kafka.
	Brokers         []string
	Input, Output   string
	Group           string
	GroupProtocol   string
	InstanceID      string
	ClientID        string
	Key             string
	OnMissingKey    string
	Scope           string
	StartAt         string
	Learn           string
	LearnFrom       string
	WhileRestoring  string
	OnDuplicate     string
	DuplicatesTopic string
	ChangelogTopic  string
	Standby         bool
	Fencing         string
	Mode            string
	CommitInterval  time.Duration
	SessionTimeout  time.Duration

	// Connection.
	TLS                   bool
	TLSCA                 string
	TLSCert, TLSKey       string
	TLSServerName         string
	TLSInsecureSkipVerify bool
	SASLMechanism         string
	SASLUsername          string
	SASLPassword          string
	SASLPasswordFile      string

	// Store.
	DataDir      string
	Window       time.Duration
	Buckets      int
	Refresh      bool
	MaxKeys      int64
	MaxBytes     Size
	OnFull       string
	MaxClockLead time.Duration
	Hash         string
	HashSeed     string
	HashSeedFile string
	Filter       string
	FilterBits   int
	ExpectedKeys int64
	Trail        bool
	MemoryBytes  Size
	CacheBytes   Size
	SegmentBytes Size

	// Service.
	MetricsAddr string
	Pprof       bool
	AdminAddr   string
	LogLevel    string
	LogFormat   string
}

// Off switches a listener off when it is the value of metrics_addr or admin_addr. An empty value can't do that: an empty
// variable means "not set" (compose files and CI systems write them by the dozen).
const Off = "off"

// Default returns the settings that hold where nothing else is said.
func Default() Config {
	return Config{
		ClientID: "noecho",
		// Key and value together: right for byte-identical copies without knowing the schema. Wrong only where two
		// messages with the same bytes are both meant ("add 1 to account 7", twice): those need an id of their own.
		Key: "payload",
		// A record that can't be judged is passed on. Dropping it would lose it, stopping would let one bad record
		// hold up a partition.
		OnMissingKey: "pass",
		// The members' own assignment knows who has a partition's state; the brokers' does not.
		GroupProtocol: "classic",
		// Within a partition the log itself says which of two records was first, and partitions need not wait for each other.
		Scope:          "partition",
		StartAt:        "earliest",
		Learn:          "handled",
		LearnFrom:      "window",
		WhileRestoring: "block",
		OnDuplicate:    "drop",
		Fencing:        "none",
		Mode:           "active",
		// Shorter: more fsyncs and commits for nothing. Longer: more work to do again after a crash.
		CommitInterval: time.Second,
		// Shorter: a process that only restarts loses its partitions. Longer: those of one that is gone stand still.
		SessionTimeout: 45 * time.Second,
		Window:         24 * time.Hour,
		Buckets:        6,
		OnFull:         "shrink",
		MaxClockLead:   time.Hour,
		Hash:           "xxh3",
		Filter:         "sliced",
		FilterBits:     13,
		MemoryBytes:    256 << 20,
		CacheBytes:     128 << 20,
		// Loopback: metrics and pprof are nobody else's business unless the operator says so.
		MetricsAddr: "127.0.0.1:9464",
		// It changes what noecho does and has no login: who wants it says so.
		AdminAddr: Off,
		LogLevel:  "info",
		LogFormat: "text",
	}
}

// TLSEnabled reports whether connections are encrypted: asked for by tls, or implied by any other tls_* setting, since
// nobody names a CA and wants plain text.
func (c *Config) TLSEnabled() bool {
	return c.TLS || c.TLSCA != "" || c.TLSCert != "" || c.TLSKey != "" || c.TLSServerName != "" || c.TLSInsecureSkipVerify
}

// Relay returns what of the settings is the relay's. The error is that of the key, which is left out then.
func (c *Config) Relay() (kafka.RelayConfig, error) {
	key, err := kafka.ParseKey(c.Key)
	session := c.SessionTimeout
	if c.GroupProtocol == string(kafka.ProtocolConsumer) {
		session = 0 // the brokers'
	}
	return kafka.RelayConfig{
		Input: c.Input, Output: c.Output, Group: c.Group, InstanceID: c.InstanceID, GroupProtocol: kafka.GroupProtocol(c.GroupProtocol),
		Key: key, OnMissingKey: kafka.MissingKey(c.OnMissingKey), Scope: kafka.Scope(c.Scope), StartAt: kafka.StartAt(c.StartAt),
		Learn: kafka.Learn(c.Learn), LearnFrom: kafka.LearnFrom(c.LearnFrom), WhileRestoring: kafka.WhileRestoring(c.WhileRestoring), ChangelogTopic: c.ChangelogTopic, Standby: c.Standby,
		OnDuplicate: kafka.OnDuplicate(c.OnDuplicate), DuplicatesTopic: c.DuplicatesTopic,
		Fencing: kafka.Fencing(c.Fencing), Mode: kafka.Mode(c.Mode),
		CommitInterval: c.CommitInterval, SessionTimeout: session,
	}, err
}
