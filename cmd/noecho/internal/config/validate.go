package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"noecho/kafka"
)

// Limits of the settings. A limit is what the parts below can do, or the point beyond which a value is surely a typing error.
const (
	bucketsMax     = 4096
	filterBitsMin  = 8
	filterBitsMax  = 32
	maxBytesMin    = 1 << 20
	memoryBytesMin = 1 << 20
	segmentMin     = 4 << 10
	segmentMax     = 1 << 30
	logShare       = 10 // the log may take half of max_bytes, and has up to five segments
	commitMin      = 10 * time.Millisecond
	commitMax      = time.Minute
	sessionMin     = time.Second // brokers refuse less than 6 s unless told otherwise, and more than 30 min
	sessionMax     = 30 * time.Minute
	seedDigits     = 32
)

// topicName is Kafka's own rule (org.apache.kafka.common.internals.Topic).
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// validate adds a sentence for every rule the configuration breaks. A setting that could not be parsed has been
// reported already and is not judged.
func (l *Loaded) validate(errs *Error) {
	v := validator{l, errs}
	v.choices()
	v.kafka()
	v.connection()
	v.store()
	v.service()
}

type validator struct {
	*Loaded
	errs *Error
}

// fail reports a broken rule of the setting, once.
func (v validator) fail(setting, format string, args ...any) {
	if !v.errs.has(setting) {
		v.errs.add(setting, "%s %s%s", setting, fmt.Sprintf(format, args...), v.from(setting))
	}
}

// from names the origin of a value that was not left at its default.
func (v validator) from(setting string) string {
	if o := v.Origin(setting); o != originDefault {
		return " (from " + o + ")"
	}
	return ""
}

// require reports a setting that has no value.
func (v validator) require(setting, value, what string) bool {
	if value == "" {
		s := Lookup(setting)
		v.fail(setting, "is missing: name %s with --%s, %s or `%s:` in the file", what, s.Flag(), s.Env(), s.Name)
	}
	return value != ""
}

func (v validator) choices() {
	for i := range Settings {
		s := &Settings[i]
		text := s.text(&v.Config)
		if s.Values == nil || slices.Contains(s.Values, text) {
			continue
		}
		if text == "" && s.Name == "sasl_mechanism" { // no log in
			continue
		}
		v.fail(s.Name, "is %q; choose %s", text, oneOf(s.Values))
	}
}

func (v validator) kafka() {
	if v.require("brokers", strings.Join(v.Brokers, ","), "one broker or more, host:port,") {
		for _, b := range v.Brokers {
			if problem := brokerProblem(b); problem != "" {
				v.fail("brokers", "holds %q: %s", b, problem)
			}
		}
	}
	v.require("input", v.Input, "the topic to read")
	v.topic("input", v.Input)
	v.require("output", v.Output, "the topic to write")
	v.topic("output", v.Output)
	if v.Output != "" && v.Output == v.Input {
		v.fail("output", "is the input topic; noecho would drop what it writes, so name another topic")
	}
	v.topic("duplicates_topic", v.DuplicatesTopic)
	if v.OnDuplicate == "topic" {
		v.require("duplicates_topic", v.DuplicatesTopic, "where duplicates go (on_duplicate is topic)")
	}
	v.topic("changelog_topic", v.ChangelogTopic)
	v.require("group", v.Group, "the consumer group")
	v.require("key", v.Key, "what names a message")
	v.require("client_id", v.ClientID, "this client")
	if v.CommitInterval < commitMin || v.CommitInterval > commitMax {
		v.fail("commit_interval", "is %s; choose between %s and %s", ShortDuration(v.CommitInterval), commitMin, ShortDuration(commitMax))
	}
	if v.GroupProtocol == string(kafka.ProtocolConsumer) && v.Origin("session_timeout") != originDefault {
		v.fail("session_timeout", "is the brokers' where group_protocol is consumer; leave it out, and set consumer.session.timeout.ms of the group with kafka-configs")
	}
	if v.SessionTimeout < sessionMin || v.SessionTimeout > sessionMax {
		v.fail("session_timeout", "is %s; choose between %s and %s", ShortDuration(v.SessionTimeout), sessionMin, ShortDuration(sessionMax))
	}
	v.relay()
	if v.ChangelogTopic != "" && v.HashSeed == "" && !v.errs.has("changelog_topic") {
		v.fail("hash_seed", "is missing: the changelog holds hashes, and a store that restores from it must have the same; give all members "+
			"one, made with `openssl rand -hex %d` (that of an existing store is in its file NOECHO)", seedDigits/2)
	}
}

// topic reports a name that no topic can have; none is none.
func (v validator) topic(setting, name string) {
	if name != "" && !legalTopic(name) {
		v.fail(setting, "is %q, which no topic can be called; use letters, digits, '.', '_' and '-'", name)
	}
}

// relay asks the library, which knows the rest: what goes together and what does not is said in one place. Its sentences begin with
// the setting's name.
func (v validator) relay() {
	relay, err := v.Relay()
	if err != nil {
		v.fail("key", "is wrong: %v", err)
	}
	var wrong *kafka.ConfigError
	if !errors.As(relay.Validate(), &wrong) { // ErrSameTopic is said above
		return
	}
	for _, problem := range wrong.Problems {
		setting, rest, _ := strings.Cut(problem, " ")
		v.fail(setting, "%s", rest)
	}
}

func (v validator) connection() {
	for _, file := range []struct{ setting, path string }{
		{"tls_ca", v.TLSCA}, {"tls_cert", v.TLSCert}, {"tls_key", v.TLSKey},
	} {
		if file.path == "" {
			continue
		}
		if f, err := os.Open(file.path); err != nil {
			v.fail(file.setting, "cannot be read: %v; check the path and its permissions", err)
		} else {
			f.Close()
		}
	}
	switch {
	case v.TLSCert != "" && v.TLSKey == "":
		v.fail("tls_key", "is missing: tls_cert needs the key that belongs to it")
	case v.TLSKey != "" && v.TLSCert == "":
		v.fail("tls_cert", "is missing: tls_key needs the certificate that belongs to it")
	}
	if v.SASLMechanism == "" {
		for _, s := range []struct{ setting, value string }{
			{"sasl_username", v.SASLUsername}, {"sasl_password", v.SASLPassword}, {"sasl_password_file", v.SASLPasswordFile},
		} {
			if s.value != "" && !v.errs.has("sasl_mechanism") {
				v.fail("sasl_mechanism", "is missing: %s is set, so choose %s", s.setting, oneOf(Lookup("sasl_mechanism").Values))
			}
		}
		return
	}
	v.require("sasl_username", v.SASLUsername, "the user")
	if v.SASLPassword == "" && !v.errs.has("sasl_password_file") {
		v.fail("sasl_password", "is missing: set NOECHO_SASL_PASSWORD, or name a file that holds it with --sasl-password-file")
	}
}

func (v validator) store() {
	v.require("data_dir", v.DataDir, "the directory of the store")
	bucketsOK := v.Buckets >= 1 && v.Buckets <= bucketsMax
	if !bucketsOK {
		v.fail("buckets", "is %d; choose 1 to %d (6 is right for nearly all)", v.Buckets, bucketsMax)
	}
	if v.Window <= 0 {
		v.fail("window", "is %s, so nothing would ever be a duplicate; choose how long copies can be apart, like 24h", v.Window)
	} else if unit := time.Duration(v.Buckets) * time.Millisecond; bucketsOK && v.Window%unit != 0 {
		v.fail("window", "is %s, which %d buckets do not divide into whole milliseconds; choose %s", ShortDuration(v.Window),
			v.Buckets, ShortDuration(v.Window.Truncate(unit)+unit))
	}
	if v.MaxBytes > 0 && v.MaxBytes < maxBytesMin {
		v.fail("max_bytes", "is %s; the least is %s, and 0 is no bound", v.MaxBytes, Size(maxBytesMin))
	}
	if v.MaxClockLead == 0 {
		v.fail("max_clock_lead", "is 0, so that every producer whose clock is a moment ahead would be ignored; choose a time like 1h, or -1s to trust all clocks")
	}
	if v.FilterBits < filterBitsMin || v.FilterBits > filterBitsMax {
		v.fail("filter_bits", "is %d; choose %d to %d (13 is right for nearly all)", v.FilterBits, filterBitsMin, filterBitsMax)
	}
	if v.ExpectedKeys < 0 {
		v.fail("expected_keys", "is %d; it cannot be less than 0, which is: not known", v.ExpectedKeys)
	}
	if v.MemoryBytes < memoryBytesMin {
		v.fail("memory_bytes", "is %s; the least is %s", v.MemoryBytes, Size(memoryBytesMin))
	}
	if v.MaxBytes > 0 && v.SegmentBytes > v.MaxBytes/logShare {
		v.fail("segment_bytes", "is %s, more than a tenth of max_bytes (%s), which bounds the log too; leave it at 0", v.SegmentBytes, v.MaxBytes)
	}
	if v.SegmentBytes != 0 && (v.SegmentBytes < segmentMin || v.SegmentBytes > segmentMax) {
		v.fail("segment_bytes", "is %s; choose %s to %s, or 0 for the usual size", v.SegmentBytes, Size(segmentMin), Size(segmentMax))
	}
	if _, err := v.Seed(); err != nil {
		v.fail("hash_seed", "%v", err)
	}
}

// Seed returns the bytes of hash_seed: 16, or nil where the store chooses one.
func (c *Config) Seed() ([]byte, error) {
	if c.HashSeed == "" {
		return nil, nil
	}
	seed, err := hex.DecodeString(c.HashSeed)
	if err != nil || len(c.HashSeed) != seedDigits {
		// Without the value: it is a secret.
		return nil, fmt.Errorf("is not %d hex digits; make one with `openssl rand -hex %d`", seedDigits, seedDigits/2)
	}
	return seed, nil
}

func (v validator) service() {
	if v.MetricsAddr == Off && v.Pprof {
		v.fail("pprof", "is on, but metrics_addr is off; give the address to serve it on")
	}
	v.listener("metrics_addr", v.MetricsAddr, 9464)
	v.listener("admin_addr", v.AdminAddr, 9465)
	if _, port, _ := net.SplitHostPort(v.AdminAddr); v.AdminAddr == v.MetricsAddr && port != "0" && v.AdminAddr != Off {
		v.fail("admin_addr", "is that of metrics_addr; it changes things, so give it a port of its own, like 127.0.0.1:9465")
	}
}

func (v validator) listener(setting, addr string, usual int) {
	if addr == Off {
		return
	}
	if _, port, err := net.SplitHostPort(addr); err != nil || !legalPort(port, 0) {
		v.fail(setting, "is %q; write host:port like 127.0.0.1:%d, :%d for all interfaces, or off", addr, usual, usual)
	}
}

// brokerProblem says what is wrong with a broker's address, "" if nothing is. The port may be left away (9092).
func brokerProblem(addr string) string {
	if strings.Contains(addr, "://") {
		return "leave the scheme away and write host:port (tls switches encryption on)"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, "9092"
		if strings.Contains(addr, ":") {
			return "write host:port, an IPv6 address in brackets"
		}
	}
	if host == "" || strings.ContainsAny(host, " /\t") || !legalPort(port, 1) {
		return "write host:port with a port from 1 to 65535"
	}
	return ""
}

func legalPort(port string, least uint64) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n >= least
}

func legalTopic(name string) bool { return topicName.MatchString(name) && name != "." && name != ".." }

// oneOf is "a, b or c".
func oneOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}
