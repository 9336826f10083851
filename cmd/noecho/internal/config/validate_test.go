package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/kafka"
)

// texts returns the sentences of an error of Load.
func texts(t *testing.T, err error) []string {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	out := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		out[i] = v.Text
	}
	return out
}

// violation returns a function that takes a right configuration, applies args (flags and variables) that break one rule
// of it, and expects one sentence and no other.
func violation(t *testing.T) func(want string, args ...string) {
	return func(want string, args ...string) {
		t.Helper()
		var environ, flags []string
		for _, a := range args {
			if strings.HasPrefix(a, "NOECHO_") {
				environ = append(environ, a)
			} else {
				flags = append(flags, a)
			}
		}
		_, err := load(t, "", environ, with(flags...)...)
		got := texts(t, err)
		require.Len(t, got, 1, "%v", got)
		require.Contains(t, got[0], want)
	}
}

func TestKafkaViolations(t *testing.T) {
	f := violation(t)
	f("brokers is missing: name one broker or more, host:port, with --brokers, NOECHO_BROKERS or `brokers:` in the file", "--brokers=")
	f(`brokers holds ":1": write host:port with a port`, "--brokers=:1")
	f(`brokers holds "b2:0": write host:port with a port from 1 to 65535`, "--brokers=b2:0")
	f(`brokers holds "kafka://b2": leave the scheme away`, "--brokers=kafka://b2")
	f(`brokers holds "::1": write host:port, an IPv6 address in brackets`, "--brokers=::1")
	f("input is missing: name the topic to read", "--input=")
	f(`input is "a b", which no topic can be called`, "--input=a b")
	f(`output is "..", which no topic can be called`, "--output=..")
	f("output is the input topic", "--output=in")
	f("output is missing", "--output=")
	f("group is missing", "--group=")
	f("key is missing: name what names a message", "--key=")
	f(`key is wrong: kafka: key "jsn:id": part "jsn:id": it is none of payload, key, value, header:NAME, json:PATH`, "--key=jsn:id")
	f("client_id is missing", "--client-id=")
	f(`on_missing_key is "skip"; choose pass, drop or fail (from --on-missing-key)`, "--on-missing-key=skip")
	f(`start_at is "now"; choose earliest or latest`, "--start-at=now")
	f(`on_duplicate is "keep"; choose drop, tag or topic (from --on-duplicate)`, "--on-duplicate=keep")
	f("duplicates_topic is missing: name where duplicates go (on_duplicate is topic) with --duplicates-topic", "--on-duplicate=topic")
	f(`duplicates_topic is "a b", which no topic can be called`, "--on-duplicate=topic", "--duplicates-topic=a b")
	f(`duplicates_topic is "in", which is the input or the output; name a third topic (from --duplicates-topic)`, "--on-duplicate=topic", "--duplicates-topic=in")
	f(`duplicates_topic is "out", which is the input or the output; name a third`, "--on-duplicate=topic", "--duplicates-topic=out")
	f(`duplicates_topic is "dups", but on_duplicate is drop, which does not use it`, "--duplicates-topic=dups")
	f(`changelog_topic is "a b", which no topic can be called`, "--changelog-topic=a b")
	f(`changelog_topic is "in", which has another use; name a topic of its own`, "--changelog-topic=in")
	f(`changelog_topic is "out", which has another use`, "--changelog-topic=out")
	f("standby needs changelog_topic: that is what it follows (from --standby)", "--standby")
	f("hash_seed is missing: the changelog holds hashes", "--changelog-topic=marks")
	f(`mode is "off"; choose active, shadow or bypass (from --mode)`, "--mode=off")
	f("commit_interval is 0s; choose between 10ms and 1m", "--commit-interval=0s")
	f("session_timeout is 0s; choose between 1s and 30m", "--session-timeout=0s")
	f("session_timeout is 1h", "--session-timeout=1h")
	f("commit_interval is 2h", "--commit-interval=2h")
	f(`group_protocol is "next"; choose classic or consumer`, "--group-protocol=next")
	f("session_timeout is the brokers' where group_protocol is consumer", "--group-protocol=consumer", "--session-timeout=45s")
}

// TestCombinations: what does not go together is refused before anything is opened or asked, with the sentence of the library.
func TestCombinations(t *testing.T) {
	seed := "NOECHO_HASH_SEED=" + strings.Repeat("0f", 16)
	f := violation(t)
	f("scope topic and a changelog do not go together: one member has the whole topic, so nobody takes over from it, and what it lacks it must learn "+
		"from the input together with its output (from --scope)", "--scope=topic", "--changelog-topic=marks", seed)
	f("fencing transactional and a changelog do not go together: a transaction that is aborted would have been told (from --fencing)",
		"--fencing=transactional", "--changelog-topic=marks", seed)
	f("fencing transactional and scope topic do not go together: a copy waits", "--fencing=transactional", "--scope=topic")
	f("standby needs changelog_topic", "NOECHO_STANDBY=true")
	f("hash_seed is missing", "--changelog-topic=marks", "--standby")
	f("learn_from is 6h, but learn is off, so that nothing is learned", "--learn=off", "--learn-from=6h")
	f(`changelog_topic is "dups", which has another use`, "--on-duplicate=topic", "--duplicates-topic=dups", "--changelog-topic=dups", seed)
	_, err := load(t, "", []string{seed}, with("--changelog-topic=marks", "--standby", "--learn-from=6h")...)
	require.NoError(t, err)
	_, err = load(t, "", []string{seed}, with("--changelog-topic=marks", "--standby", "--scope=topic", "--fencing=transactional", "--duplicates-topic=dups")...)
	require.Len(t, texts(t, err), 3, "all at once: scope, duplicates_topic, fencing\n%v", err)
}

// TestLibrarySentences: each of the library's sentences begins with a setting, so that it is shown in its place, with its origin.
func TestLibrarySentences(t *testing.T) {
	bad := kafka.RelayConfig{OnMissingKey: "x", Scope: "x", StartAt: "x", Learn: "x", LearnFrom: "x", WhileRestoring: "x", Standby: true, OnDuplicate: "x", Fencing: "x", Mode: "x", CommitInterval: -1, SessionTimeout: -1}
	var wrong *kafka.ConfigError
	require.ErrorAs(t, bad.Validate(), &wrong)
	var named []string
	for _, p := range wrong.Problems {
		setting, _, _ := strings.Cut(p, " ")
		require.NotNil(t, Lookup(setting), p)
		named = append(named, setting)
	}
	require.ElementsMatch(t, []string{"input", "output", "group", "on_missing_key", "scope", "start_at", "learn", "learn_from", "while_restoring", "standby", "commit_interval", "session_timeout",
		"on_duplicate", "mode", "fencing"}, named)
}

func TestLearnFrom(t *testing.T) {
	for _, text := range []string{"window", "earliest", "6h", "2026-11-27T06:00:00Z", "2026-11-27T06:00:00+02:00", "-1000000", "0:1200", "0:1200,1:980"} {
		for source, l := range map[string]func() (*Loaded, error){
			"file": func() (*Loaded, error) { return load(t, "learn_from: "+text+"\n", nil, minimal...) },
			"flag": func() (*Loaded, error) { return load(t, "", nil, with("--learn-from", text)...) },
		} {
			got, err := l()
			require.NoError(t, err, "%s: %s", source, text)
			require.Equal(t, text, got.LearnFrom)
		}
	}
	f := violation(t)
	for _, text := range []string{"latest", "-6h", "0s", "1us", "7d", "1000000", "-0", "--5", "2026-11-27", "0:", ":5", "0:1,0:2", "0:-1", "-1:5", "0:1,", "99999999999:1"} {
		f("learn_from \""+text+"\" is none of window, earliest, a duration back like 6h", "--learn-from="+text)
	}
}

func TestConnectionViolations(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	present := writeFile(t, "present", "x")
	empty := writeFile(t, "empty", "\n")
	f := violation(t)
	f("tls_ca cannot be read", "--tls-ca="+absent)
	f("tls_key is missing", "--tls-cert="+present)
	f("tls_cert is missing", "--tls-key="+present)
	f(`sasl_mechanism is "GSSAPI"; choose PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`, "--sasl-mechanism=GSSAPI", "--sasl-username=u", "NOECHO_SASL_PASSWORD=p")
	f("sasl_mechanism is missing: sasl_username is set", "--sasl-username=u")
	f("sasl_mechanism is missing: sasl_password is set", "NOECHO_SASL_PASSWORD=p")
	f("sasl_username is missing", "--sasl-mechanism=PLAIN", "NOECHO_SASL_PASSWORD=p")
	f("sasl_password is missing: set NOECHO_SASL_PASSWORD", "--sasl-mechanism=PLAIN", "--sasl-username=u")
	f("sasl_password_file (from --sasl-password-file) cannot be read", "--sasl-mechanism=PLAIN", "--sasl-username=u", "--sasl-password-file="+absent)
	f("is empty; put the secret into it", "--sasl-mechanism=PLAIN", "--sasl-username=u", "--sasl-password-file="+empty)
	f("both sasl_password (from NOECHO_SASL_PASSWORD) and sasl_password_file (from --sasl-password-file) are set; keep one",
		"--sasl-mechanism=PLAIN", "--sasl-username=u", "--sasl-password-file="+present, "NOECHO_SASL_PASSWORD=p")
}

func TestStoreAndServiceViolations(t *testing.T) {
	f := violation(t)
	f("data_dir is missing: name the directory of the store with --data-dir", "--data-dir=")
	f("window is 0s, so nothing would ever be a duplicate", "--window=0")
	f("window is -1h0m0s", "--window=-1h")
	f("window is 1s, which 6 buckets do not divide into whole milliseconds; choose 1.002s (from --window)", "--window=1s")
	f("max_bytes is 500kB; the least is 1Mi, and 0 is no bound", "--max-bytes=500k")
	f(`window: "7d" is not a duration, the largest unit is the hour; write it as 168h (from --window)`, "--window=7d")
	f(`window: "30" has no unit; write it like 30s, 30m or 30h`, "--window=30")
	f(`window: "soon" is not a duration; write it like 24h`, "--window=soon")
	f("buckets is 0; choose 1 to 4096", "--buckets=0")
	f("buckets is 5000; choose 1 to 4096", "--buckets=5000")
	f(`buckets: "six" is not a whole number`, "--buckets=six")
	f(`refresh: "maybe" is neither true nor false`, "--refresh=maybe")
	f(`max_keys: "-5" is not a number; write it like 500000000, 500M or 5e8`, "--max-keys=-5")
	f(`max_bytes: "9Zi" is not a size`, "--max-bytes=9Zi")
	f(`on_full is "drop"; choose shrink or fail`, "--on-full=drop")
	f("max_clock_lead is 0", "--max-clock-lead=0")
	f(`hash is "md5"; choose xxh3 or siphash`, "--hash=md5")
	f("hash_seed is not 32 hex digits; make one with `openssl rand -hex 16` (from NOECHO_HASH_SEED)", "NOECHO_HASH_SEED=abc")
	f(`filter is "cuckoo"; choose sliced or ring`, "--filter=cuckoo")
	f("filter_bits is 3; choose 8 to 32", "--filter-bits=3")
	f("memory_bytes is 1kB; the least is 1Mi", "--memory-bytes=1000")
	f("segment_bytes is 2Mi, more than a tenth of max_bytes (16Mi), which bounds the log too; leave it at 0", "--segment-bytes=2Mi", "--max-bytes=16Mi")
	f("segment_bytes is 2Gi; choose 4Ki to 1Gi, or 0 for the usual size", "--segment-bytes=2Gi")
	f(`admin_addr is "9465"; write host:port like 127.0.0.1:9465, :9465 for all interfaces, or off`, "--admin-addr=9465")
	f(`metrics_addr is "9464"; write host:port like 127.0.0.1:9464, :9464 for all interfaces, or off`, "--metrics-addr=9464")
	f("admin_addr is that of metrics_addr; it changes things, so give it a port of its own", "--admin-addr=127.0.0.1:9464")
	f("pprof is on, but metrics_addr is off", "--metrics-addr=off", "--pprof")
	f(`log_level is "loud"; choose debug, info, warn or error`, "--log-level=loud")
	f(`log_format is "xml"; choose text or json`, "--log-format=xml")
}

func TestSecretsAreNotQuoted(t *testing.T) {
	_, err := load(t, "", []string{"NOECHO_HASH_SEED=hunter2hunter2"}, minimal...)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

// All mistakes of all sources come out at once.
func TestAllViolationsAtOnce(t *testing.T) {
	_, err := load(t, "windw: 1h\nbuckets: 9999\nbuckets: 3\nmax_bytes: [1, 2]\n", []string{"NOECHO_WINDOW=7d"}, "--hash=md5", "--group=g")
	got := texts(t, err)
	require.Len(t, got, 9, "%s", strings.Join(got, "\n"))
	all := err.Error()
	require.True(t, strings.HasPrefix(all, "the configuration has 9 mistakes:\n  - "), all)
	require.Regexp(t, `noecho\.yaml:1: there is no setting "windw"; the nearest is window`, all)
	require.Regexp(t, `noecho\.yaml:3: buckets is already set in line 2; remove one of the two`, all)
	require.Regexp(t, `noecho\.yaml:4: max_bytes must be one value`, all)
	for _, want := range []string{`window: "7d"`, "brokers is missing", "input is missing", "output is missing", "data_dir is missing", `hash is "md5"`} {
		require.Contains(t, all, want)
	}
}

func TestFileMistakes(t *testing.T) {
	f := func(file, want string) {
		t.Helper()
		_, err := load(t, file, nil, minimal...)
		got := texts(t, err)
		require.Len(t, got, 1, "%v", got)
		require.Regexp(t, want, got[0])
	}
	f("window: 1h\nbootstrap_servers: x:1\n", `noecho\.yaml:2: there is no setting "bootstrap_servers"; the nearest is brokers$`)
	f("Window: 1h\n", `noecho\.yaml:1: there is no setting "Window"; the nearest is window$`)
	f("window: [1h]\n", `noecho\.yaml:1: window must be one value$`)
	f("brokers: {a: b}\n", `noecho\.yaml:1: brokers must be one value or a list of values$`)
	f("brokers: [[a]]\n", `noecho\.yaml:1: brokers must be a list of plain values$`)
	f("- window\n", `noecho\.yaml:1: the file must be a list of`)
	f("window: 'x\n", `noecho\.yaml is not YAML: line `)
	f("window: soon\n", `window: "soon" is not a duration; .* \(from .*noecho\.yaml:1\)$`)
	f("window: 0s\n", `window is 0s, .* \(from .*noecho\.yaml:1\)$`)

	_, err := load(t, "", nil, with("--config="+filepath.Join(t.TempDir(), "none.yaml"))...)
	require.ErrorContains(t, err, "there is no configuration file")
	_, err = load(t, strings.Repeat("#", fileMax+1), nil, minimal...)
	require.ErrorContains(t, err, "larger than 1 MiB")
}

func TestFilesThatSayNothing(t *testing.T) {
	for _, file := range []string{"\n", "# only a comment\n", "---\n", "null\n"} {
		l, err := load(t, file, nil, minimal...)
		require.NoError(t, err, "%q", file)
		require.Equal(t, Default().Window, l.Window)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("window: 1h\nbrokers: [a, b]\n")
	f.Add("a: &a 1\nwindow: *a\n")
	f.Add("? [x]\n: y\n")
	f.Add("- - -\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := &loader{loaded: Loaded{Config: Default(), origins: map[string]string{}}}
		l.applyFile("f", []byte(text))
		var e *Error
		if err := l.errs.orNil(); err != nil {
			require.True(t, errors.As(err, &e))
			for _, v := range e.Violations {
				require.True(t, strings.HasPrefix(v.Text, "f") || strings.Contains(v.Text, "(from f:"), v.Text)
			}
		}
	})
}
