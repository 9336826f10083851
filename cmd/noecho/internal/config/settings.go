package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Setting is one row of the table that flags, variables, file keys, help and man page are made of.
type Setting struct {
	Name   string   // snake_case: the file's key; see Flag and Env for the other spellings
	Group  string   // heading in help and Print
	Usage  string   // one line, no full stop
	Values []string // what a choice may be; nil: anything
	Secret bool     // no flag, masked by Print

	field func(*Config) any // pointer to the field
}

// Flag returns the flag's name without dashes.
func (s *Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// Env returns the variable's name.
func (s *Setting) Env() string { return EnvPrefix + strings.ToUpper(s.Name) }

// EnvPrefix starts the name of every variable.
const EnvPrefix = "NOECHO_"

// The headings of Settings.
const (
	groupKafka   = "Kafka"
	groupConnect = "Connection"
	groupStore   = "Store"
	groupService = "Service"
)

// Settings is the table, in the order in which help shows it.
var Settings = []Setting{
	{Name: "brokers", Group: groupKafka, Usage: "brokers to start from, host:port, separated by commas",
		field: func(c *Config) any { return &c.Brokers }},
	{Name: "input", Group: groupKafka, Usage: "topic to read, with duplicates",
		field: func(c *Config) any { return &c.Input }},
	{Name: "output", Group: groupKafka, Usage: "topic to write, without duplicates; at least as many partitions as the input",
		field: func(c *Config) any { return &c.Output }},
	{Name: "group", Group: groupKafka, Usage: "consumer group, which keeps the position",
		field: func(c *Config) any { return &c.Group }},
	{Name: "group_protocol", Group: groupKafka, Usage: "who assigns partitions: classic (the members, to who has the state), or consumer (the brokers, from Kafka 4.0 on)",
		Values: []string{"classic", "consumer"}, field: func(c *Config) any { return &c.GroupProtocol }},
	{Name: "key", Group: groupKafka, Usage: "what names a message: payload, key, value, header:NAME, json:PATH, or several joined with +",
		field: func(c *Config) any { return &c.Key }},
	{Name: "on_missing_key", Group: groupKafka, Usage: "a record without that key: pass it on, drop it, or fail (stop)",
		Values: []string{"pass", "drop", "fail"}, field: func(c *Config) any { return &c.OnMissingKey }},
	{Name: "scope", Group: groupKafka, Usage: "where copies are looked for: in the record's partition, or in the whole topic (one process, for producers without a key)",
		Values: []string{"partition", "topic"}, field: func(c *Config) any { return &c.Scope }},
	{Name: "start_at", Group: groupKafka, Usage: "where a group without a position begins",
		Values: []string{"earliest", "latest"}, field: func(c *Config) any { return &c.StartAt }},
	{Name: "learn", Group: groupKafka, Usage: "what a store that lacks the marks reads again from the input before it goes on",
		Values: []string{"handled", "all", "off"}, field: func(c *Config) any { return &c.Learn }},
	{Name: "learn_from", Group: groupKafka, Usage: "no further back than: window, earliest, 6h, 2026-11-27T06:00:00Z, -1000000 (offsets), 0:1200,1:980 (partition:offset)",
		field: func(c *Config) any { return &c.LearnFrom }},
	{Name: "while_restoring", Group: groupKafka, Usage: "what records do meanwhile: wait (block), or pass without a verdict, copies among them (pass)",
		Values: []string{"block", "pass"}, field: func(c *Config) any { return &c.WhileRestoring }},
	{Name: "changelog_topic", Group: groupKafka, Usage: "topic for packed marks, to restore from instead of the input; as many partitions as the input; needs hash_seed",
		field: func(c *Config) any { return &c.ChangelogTopic }},
	{Name: "standby", Group: groupKafka, Usage: "follow the changelog of partitions that others own, to take them over at once",
		field: func(c *Config) any { return &c.Standby }},
	{Name: "on_duplicate", Group: groupKafka, Usage: "a duplicate: drop it, tag it (to the output, with evidence in headers), or send it to a topic",
		Values: []string{"drop", "tag", "topic"}, field: func(c *Config) any { return &c.OnDuplicate }},
	{Name: "duplicates_topic", Group: groupKafka, Usage: "that topic; at least as many partitions as the input",
		field: func(c *Config) any { return &c.DuplicatesTopic }},
	{Name: "fencing", Group: groupKafka, Usage: "none, or transactional: output and offsets of an interval are one transaction, for readers with read_committed",
		Values: []string{"none", "transactional"}, field: func(c *Config) any { return &c.Fencing }},
	{Name: "mode", Group: groupKafka, Usage: "to start in: active, shadow (all passes, duplicates tagged), bypass (all passes, the store is left alone)",
		Values: []string{"active", "shadow", "bypass"}, field: func(c *Config) any { return &c.Mode }},
	{Name: "commit_interval", Group: groupKafka, Usage: "time between commits (fsync, then offsets); what a crash makes noecho read again",
		field: func(c *Config) any { return &c.CommitInterval }},
	{Name: "session_timeout", Group: groupKafka, Usage: "how long a member may be silent before others get its partitions",
		field: func(c *Config) any { return &c.SessionTimeout }},
	{Name: "instance_id", Group: groupKafka, Usage: "static member name, unique in the group (default: made from the store's id)",
		field: func(c *Config) any { return &c.InstanceID }},
	{Name: "client_id", Group: groupKafka, Usage: "name shown in the brokers' logs and quotas",
		field: func(c *Config) any { return &c.ClientID }},

	{Name: "tls", Group: groupConnect, Usage: "encrypt connections (any other tls setting implies it)",
		field: func(c *Config) any { return &c.TLS }},
	{Name: "tls_ca", Group: groupConnect, Usage: "PEM file with the CAs to trust instead of the system's",
		field: func(c *Config) any { return &c.TLSCA }},
	{Name: "tls_cert", Group: groupConnect, Usage: "PEM file with the client certificate",
		field: func(c *Config) any { return &c.TLSCert }},
	{Name: "tls_key", Group: groupConnect, Usage: "PEM file with the client certificate's key",
		field: func(c *Config) any { return &c.TLSKey }},
	{Name: "tls_server_name", Group: groupConnect, Usage: "name to expect in the brokers' certificates instead of their host names",
		field: func(c *Config) any { return &c.TLSServerName }},
	{Name: "tls_insecure_skip_verify", Group: groupConnect, Usage: "accept any certificate (tests only: anybody can read and change the stream)",
		field: func(c *Config) any { return &c.TLSInsecureSkipVerify }},
	{Name: "sasl_mechanism", Group: groupConnect, Usage: "log in with PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
		Values: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}, field: func(c *Config) any { return &c.SASLMechanism }},
	{Name: "sasl_username", Group: groupConnect, Usage: "user to log in as",
		field: func(c *Config) any { return &c.SASLUsername }},
	{Name: "sasl_password", Group: groupConnect, Usage: "password of that user", Secret: true,
		field: func(c *Config) any { return &c.SASLPassword }},
	{Name: "sasl_password_file", Group: groupConnect, Usage: "file with the password (or set NOECHO_SASL_PASSWORD)",
		field: func(c *Config) any { return &c.SASLPasswordFile }},

	{Name: "data_dir", Group: groupStore, Usage: "directory of the store; one process at a time",
		field: func(c *Config) any { return &c.DataDir }},
	{Name: "window", Group: groupStore, Usage: "how long a key is remembered, in the records' time",
		field: func(c *Config) any { return &c.Window }},
	{Name: "buckets", Group: groupStore, Usage: "parts of the window; one expires as a whole",
		field: func(c *Config) any { return &c.Buckets }},
	{Name: "refresh", Group: groupStore, Usage: "a duplicate prolongs its key's life (sliding window)",
		field: func(c *Config) any { return &c.Refresh }},
	{Name: "max_keys", Group: groupStore, Usage: "bound on the keys remembered; the window shrinks to fit (0: none)",
		field: func(c *Config) any { return &c.MaxKeys }},
	{Name: "max_bytes", Group: groupStore, Usage: "bound on the store's disk space, like 9Gi; the window shrinks to fit (0: none)",
		field: func(c *Config) any { return &c.MaxBytes }},
	{Name: "on_full", Group: groupStore, Usage: "when even the current bucket is over the bound: shrink (forget it early) or fail (stop)",
		Values: []string{"shrink", "fail"}, field: func(c *Config) any { return &c.OnFull }},
	{Name: "max_clock_lead", Group: groupStore, Usage: "timestamps further ahead of this machine's clock are ignored (negative: trust all)",
		field: func(c *Config) any { return &c.MaxClockLead }},
	{Name: "hash", Group: groupStore, Usage: "xxh3, or siphash where producers are not trusted",
		Values: []string{"xxh3", "siphash"}, field: func(c *Config) any { return &c.Hash }},
	{Name: "hash_seed", Group: groupStore, Usage: "secret of the hash, 32 hex digits (default: random for each store)", Secret: true,
		field: func(c *Config) any { return &c.HashSeed }},
	{Name: "hash_seed_file", Group: groupStore, Usage: "file with the secret of the hash (or set NOECHO_HASH_SEED)",
		field: func(c *Config) any { return &c.HashSeedFile }},
	{Name: "filter", Group: groupStore, Usage: "Bloom filter: sliced (fast) or ring (bits-and-blooms)",
		Values: []string{"sliced", "ring"}, field: func(c *Config) any { return &c.Filter }},
	{Name: "filter_bits", Group: groupStore, Usage: "filter's bits for a key",
		field: func(c *Config) any { return &c.FilterBits }},
	{Name: "expected_keys", Group: groupStore, Usage: "keys a partition gets in a window, where known: the first window of a large store takes less memory and time (0: not known)",
		field: func(c *Config) any { return &c.ExpectedKeys }},
	{Name: "trail", Group: groupStore, Usage: "keep marks in the order of the log, too: replays of the past are fast, for 17 bytes of disk a key",
		field: func(c *Config) any { return &c.Trail }},
	{Name: "memory_bytes", Group: groupStore, Usage: "memory for recent keys, all partitions together",
		field: func(c *Config) any { return &c.MemoryBytes }},
	{Name: "cache_bytes", Group: groupStore, Usage: "memory for the index's block cache",
		field: func(c *Config) any { return &c.CacheBytes }},
	{Name: "segment_bytes", Group: groupStore, Usage: "size of a segment of the log (0: 64Mi, less in a store bounded by max_bytes)",
		field: func(c *Config) any { return &c.SegmentBytes }},

	{Name: "metrics_addr", Group: groupService, Usage: "where to serve /metrics, /healthz and /readyz, or off",
		field: func(c *Config) any { return &c.MetricsAddr }},
	{Name: "pprof", Group: groupService, Usage: "serve /debug/pprof there too",
		field: func(c *Config) any { return &c.Pprof }},
	{Name: "admin_addr", Group: groupService, Usage: "where to serve the admin endpoint of noecho ctl, like 127.0.0.1:9465, or off; it has no login",
		field: func(c *Config) any { return &c.AdminAddr }},
	{Name: "log_level", Group: groupService, Usage: "least level to log",
		Values: []string{"debug", "info", "warn", "error"}, field: func(c *Config) any { return &c.LogLevel }},
	{Name: "log_format", Group: groupService, Usage: "text or json",
		Values: []string{"text", "json"}, field: func(c *Config) any { return &c.LogFormat }},
}

// Groups returns the headings, in the order of the table.
func Groups() []string { return []string{groupKafka, groupConnect, groupStore, groupService} }

// Lookup returns the setting of that name, nil if there is none.
func Lookup(name string) *Setting {
	for i := range Settings {
		if Settings[i].Name == name {
			return &Settings[i]
		}
	}
	return nil
}

// Kind returns the word that help shows for the value.
func (s *Setting) Kind() string {
	switch s.field(new(Config)).(type) {
	case *bool:
		return "bool"
	case *[]string:
		return "list"
	case *time.Duration:
		return "duration"
	case *Size:
		return "size"
	case *int, *int64:
		return "number"
	}
	if s.Values != nil {
		return "choice"
	}
	return "text"
}

// set parses text into the setting's field of c. The error is a sentence's end: it follows "window: ".
func (s *Setting) set(c *Config, text string) (err error) {
	switch p := s.field(c).(type) {
	case *string:
		*p = text
	case *[]string:
		*p = splitList(text)
	case *bool:
		if *p, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case *time.Duration:
		if *p, err = time.ParseDuration(text); err != nil {
			return durationError(text)
		}
	case *Size:
		*p, err = ParseSize(text)
	case *int:
		if *p, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
	case *int64:
		// Counts of keys are as large as sizes and get the same spellings: 1e9, 500M.
		var n Size
		if n, err = ParseSize(text); err != nil {
			return fmt.Errorf("%q is not a number; write it like 500000000, 500M or 5e8", text)
		}
		*p = int64(n)
	}
	return err
}

// text is the inverse of set.
func (s *Setting) text(c *Config) string {
	switch p := s.field(c).(type) {
	case *[]string:
		return strings.Join(*p, ",")
	case *string:
		return *p
	case *time.Duration:
		return ShortDuration(*p)
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *Size:
		return p.String()
	}
	return ""
}

func splitList(text string) []string {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// durationError knows the mistake everybody makes: days.
func durationError(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 1e5 {
			return fmt.Errorf("%q is not a duration, the largest unit is the hour; write it as %s", text,
				ShortDuration(time.Duration(n*24*float64(time.Hour))))
		}
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return fmt.Errorf("%q has no unit; write it like %ss, %sm or %sh", text, text, text, text)
	}
	return fmt.Errorf("%q is not a duration; write it like 24h, 90m or 1h30m", text)
}

// ShortDuration is Duration.String without the zero minutes and seconds at its end: 24h, not 24h0m0s.
func ShortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
