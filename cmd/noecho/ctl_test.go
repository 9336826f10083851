package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/cmd/noecho/internal/admin"
	"noecho/kafka"
)

func TestCtlUsage(t *testing.T) {
	f := func(want int, says string, args ...string) {
		t.Helper()
		code, stdout, stderr := call(append([]string{"ctl"}, args...)...)
		require.Equal(t, want, code, stderr)
		require.Contains(t, stdout+stderr, says)
		require.NotContains(t, strings.TrimRight(stderr, "\n"), "\n\n")
	}
	f(exitOK, "noecho ctl mode [active|shadow|bypass]", "mode", "--help")
	f(exitOK, "Show mode, counters and partitions")
	f(exitUsage, `noecho: there is no mode "off"; choose active, shadow, bypass`, "mode", "off")
	f(exitUsage, "noecho: one mode at a time; 2 were given", "mode", "active", "shadow")
	f(exitUsage, `noecho: unknown command "moed"; did you mean mode?`, "moed")
	f(exitUsage, `noecho: unknown command "now" for "noecho ctl status"`, "status", "now")
	f(exitUsage, "noecho: unknown flag: --adr (noecho ctl mode --help lists all flags)", "mode", "--adr", "x")
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := nobody.Addr().String()
	require.NoError(t, nobody.Close())
	f(exitFailed, "noecho: no admin endpoint answers at "+addr, "mode", "bypass", "--addr", addr)
	t.Setenv("NOECHO_ADMIN_ADDR", addr)
	f(exitFailed, "noecho: no admin endpoint answers at "+addr, "status")
}

func TestCtlCompletion(t *testing.T) {
	_, stdout, _ := call("__complete", "ctl", "mode", "")
	require.Equal(t, []string{"active", "shadow", "bypass"}, strings.Split(stdout, "\n")[:3])
	_, stdout, _ = call("__complete", "ctl", "mode", "active", "")
	require.True(t, strings.HasPrefix(stdout, ":"), stdout)
	_, stdout, _ = call("__complete", "ctl", "")
	require.Contains(t, stdout, "mode\t")
	require.Contains(t, stdout, "status\t")
	_, stdout, _ = call("__complete", "run", "--on-duplicate", "")
	require.Equal(t, []string{"drop", "tag", "topic"}, strings.Split(stdout, "\n")[:3])
}

func TestAdminAddr(t *testing.T) {
	env := func(value string) func(string) string {
		return func(name string) string {
			if name == "NOECHO_ADMIN_ADDR" {
				return value
			}
			return ""
		}
	}
	require.Equal(t, "127.0.0.1:9465", adminAddr("", env("")))
	require.Equal(t, "127.0.0.1:9465", adminAddr("", env("off")))
	require.Equal(t, "h:1", adminAddr("", env("h:1")))
	require.Equal(t, "127.0.0.1:1", adminAddr("", env(":1")))
	require.Equal(t, "i:2", adminAddr("i:2", env("h:1")))
	require.Equal(t, "127.0.0.1:1", adminAddr("0.0.0.0:1", env("")))
	require.Equal(t, "[::1]:1", adminAddr("", env("[::]:1")))
	require.Equal(t, "10.0.0.7:1", adminAddr("10.0.0.7:1", env("")))
}

// TestCtl: the switch thrown on a running process, and what it says of itself, by every way there is.
func TestCtl(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.CreateTopic("dup", testPartitions, nil))
	p := w.run("--admin-addr", "127.0.0.1:0", "--on-duplicate", "topic", "--duplicates-topic", "dup", "--mode", "shadow")
	web := p.says(`"msg":"serving metrics","addr":"([^"]+)"`)[1]
	addr := p.says(`"msg":"serving the admin endpoint","addr":"([^"]+)"`)[1]
	ctl := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := call(append(append([]string{"ctl"}, args...), "--addr", addr)...)
		require.Equal(t, want, code, stderr)
		return stdout + stderr
	}
	until(t, "ready", func() bool { code, _ := get(t, web, "/readyz"); return code == http.StatusOK })
	_, body := get(t, web, "/readyz")
	require.Equal(t, "ok\nmode: shadow\n", body)
	w.produce("a", "b", "a")
	w.drained()
	require.Equal(t, []string{"a", "a", "b"}, w.output())
	require.Equal(t, "shadow\n", ctl(exitOK, "mode"))
	require.Equal(t, "{\"mode\":\"shadow\"}\n", ctl(exitOK, "mode", "--json"))

	require.Equal(t, "active (was shadow): duplicates are dealt with as on_duplicate says\n", ctl(exitOK, "mode", "active"))
	_, body = get(t, web, "/readyz")
	require.Equal(t, "ok\n", body)
	w.produce("b", "c")
	w.drained()
	require.Equal(t, []string{"a", "a", "b", "c"}, w.output())
	require.JSONEq(t, `{"mode":"bypass","was":"active"}`, ctl(exitOK, "mode", "bypass", "--json"))
	w.produce("c", "c")
	w.drained()
	require.Equal(t, []string{"a", "a", "b", "c", "c", "c"}, w.output())
	_, text := get(t, web, "/metrics")
	for _, line := range []string{
		`noecho_mode{mode="bypass",topic="in"} 1`, `noecho_mode{mode="active",topic="in"} 0`,
		`noecho_records_total{result="unjudged",topic="in"} 2`, `noecho_records_total{result="duplicate",topic="in"} 2`,
		`noecho_tagged_records_total{topic="out"} 1`, `noecho_duplicates_produced_total{topic="dup"} 1`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}

	status := ctl(exitOK, "status")
	require.Regexp(t, `(?m)^mode +bypass$`, status)
	require.Regexp(t, `(?m)^relays +in to out, group g$`, status)
	require.Regexp(t, `(?m)^lease +held$`, status)
	require.NotContains(t, status, "fencing")
	require.NotContains(t, status, "assigned by the brokers")
	require.NotContains(t, status, "changelog")
	require.Contains(t, text, "\nnoecho_lease_held{topic=\"in\"} 1\n")
	require.Regexp(t, `(?m)^judged +3 unique, 0 redelivery, 2 duplicate$`, status)
	require.Regexp(t, `(?m)^produced +6 to the output, 1 of them duplicates; 1 to the duplicates' topic$`, status)
	require.Regexp(t, `(?m)^0 +running +\d+ +\d+ +\d+ +0$`, status)
	var s admin.Status
	require.NoError(t, json.Unmarshal([]byte(ctl(exitOK, "status", "--json")), &s))
	require.Equal(t, "bypass", s.Mode)
	require.Len(t, s.Partitions, testPartitions)

	// The port of the metrics is not the one of the switch.
	code, _, stderr := call("ctl", "mode", "active", "--addr", web)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "no admin endpoint of noecho; is it the port of --metrics-addr?")
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
	require.Contains(t, p.output(), `"msg":"mode changed"`)
}

// TestWriteStatus: what is in use is shown, and nothing else.
func TestWriteStatus(t *testing.T) {
	known := int64(7)
	s := admin.Status{
		Mode: "active", OnDuplicate: "drop", Input: "in", Output: "out", Group: "g", GroupProtocol: "consumer", SessionMillis: 45_000, Fencing: "transactional", Reason: "partition 1 is restoring",
		Missing: admin.Missing{None: 1, Behind: 2, Retention: 3, Bounded: 4, Removed: 5},
		Changelog: &admin.Changelog{Topic: "marks", Records: 1, Marks: 2, Pending: 3, Failures: 4, Restored: 5, Passed: 6, Standby: true,
			Followed: []admin.Followed{{Partition: 2, Known: 30, Warm: true}, {Partition: 3, Known: 20, Lag: 9}}},
		Partitions: []admin.Partition{
			{Partition: 0, State: "running", Paused: true, Next: 8, Committed: &known, Lag: &known, Queued: 1, Learn: &admin.Learn{From: 1, Why: "window", At: 5, Target: 5}},
			{Partition: 1, State: "restoring", Passing: true, Learn: &admin.Learn{From: 100, Why: "learn_from", At: 150, Target: 200}},
		},
	}
	var b strings.Builder
	require.NoError(t, writeStatus(&b, &s))
	require.Equal(t, `mode          active
on duplicate  drop
relays        in to out, group g
partitions    assigned by the brokers; session timeout 45s
fencing       transactional
lease         not held: nothing is sent until the group's coordinator confirms this member
ready         no: partition 1 is restoring
judged        0 unique, 0 redelivery, 0 duplicate
not judged    0 without a key passed, 0 without a key dropped or tagged, 0 in bypass or while restoring
produced      0 to the output, 0 of them duplicates; 0 to the duplicates' topic
missing       1 partitions without state, 2 behind; of them cut short by retention 3, by learn_from 4; 5 offsets lost
changelog     marks: 1 records with 2 marks written, 3 marks wait, 4 failures; 5 marks restored, 6 records passed over
standby       follows 2 partitions, 1 warm

PARTITION  STATE                                                            NEXT  COMMITTED  LAG  QUEUED
0          running, paused                                                  8     7          7    1
1          restoring (from 100 by learn_from, at 150 of 200), records pass  0     -          -    0

FOLLOWED  KNOWN  LAG  WARM
2         30     0    yes
3         20     9    no
`, b.String())
}

// TestCtlStandby: two processes, each the standby of the other. Each says what it follows, and both say what the changelog has got.
func TestCtlStandby(t *testing.T) {
	t.Setenv("NOECHO_HASH_SEED", strings.Repeat("0f", 16))
	w := newWorld(t)
	require.NoError(t, w.CreateTopic("marks", testPartitions, nil))
	var addrs []string
	for _, dir := range []string{w.dir, t.TempDir()} {
		p := w.run("--admin-addr", "127.0.0.1:0", "--changelog-topic", "marks", "--standby", "--data-dir", dir)
		addrs = append(addrs, p.says(`"msg":"serving the admin endpoint","addr":"([^"]+)"`)[1])
	}
	status := func(addr string) (s admin.Status) {
		t.Helper()
		code, stdout, stderr := call("ctl", "status", "--json", "--addr", addr)
		require.Equal(t, exitOK, code, stderr)
		require.NoError(t, json.Unmarshal([]byte(stdout), &s))
		return s
	}
	for _, addr := range addrs {
		until(t, "one each", func() bool { return len(status(addr).Partitions) == 1 && status(addr).Ready })
	}
	w.produce(numbered(0, 100)...)
	w.drained()
	for i, addr := range addrs {
		var s admin.Status
		until(t, "the standby is warm", func() bool {
			s = status(addr)
			return len(s.Changelog.Followed) == 1 && s.Changelog.Followed[0].Warm && s.Changelog.Pending == 0
		})
		owner := status(addrs[1-i])
		require.Equal(t, owner.Partitions[0].Partition, s.Changelog.Followed[0].Partition)
		require.Equal(t, owner.Partitions[0].Next, s.Changelog.Followed[0].Known)
		require.Equal(t, "marks", s.Changelog.Topic)
		require.True(t, s.Changelog.Standby)
		require.True(t, s.LeaseHeld)
		require.Positive(t, s.Changelog.Records)
		require.Equal(t, s.Records.Unique, s.Changelog.Marks)
		_, stdout, _ := call("ctl", "status", "--addr", addr)
		require.Regexp(t, `(?m)^standby +follows 1 partitions, 1 warm$`, stdout)
		require.Regexp(t, fmt.Sprintf(`(?m)^%d +%d +0 +yes$`, s.Changelog.Followed[0].Partition, s.Changelog.Followed[0].Known), stdout)
	}
}

// TestRunInBypassWithoutAStore: a store that is damaged stops noecho, but not with the kill switch on.
func TestRunInBypassWithoutAStore(t *testing.T) {
	w := newWorld(t)
	w.produce("a", "b", "a")
	p := w.run()
	w.drained()
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
	require.Equal(t, []string{"a", "b"}, w.output())
	manifests, err := filepath.Glob(filepath.Join(w.dir, "index", "MANIFEST-*"))
	require.NoError(t, err)
	require.NotEmpty(t, manifests)
	for _, m := range manifests {
		require.NoError(t, os.WriteFile(m, []byte("damaged"), 0o600))
	}

	p = w.run()
	require.Equal(t, exitFailed, p.exit(), "without the switch")
	p = w.run("--mode", "bypass", "--admin-addr", "127.0.0.1:0")
	addr := p.says(`"msg":"serving the admin endpoint","addr":"([^"]+)"`)[1]
	require.Contains(t, p.output(), "the store cannot be opened: records pass unjudged")
	w.produce("a", "c")
	w.drained()
	require.Equal(t, []string{"a", "a", "b", "c"}, w.output())
	code, _, stderr := call("ctl", "mode", "active", "--addr", addr)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, fmt.Sprintf("noecho: noecho refused it: kafka: mode %q: the store could not be opened", "active"))
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())

	// Another configuration than the store's is a mistake, whatever the mode.
	w = newWorld(t)
	p = w.run()
	p.says(`"msg":"relaying"`)
	second := w.run("--mode", "bypass")
	require.Equal(t, exitFailed, second.exit())
	require.Contains(t, second.output(), "in use by another process")
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
	p = w.run("--mode", "bypass", "--window", "2h")
	require.Equal(t, exitFailed, p.exit())
}

func TestAdminPortInUse(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	addr := busy.Addr().String()
	p := newWorld(t).run("--admin-addr", addr)
	require.Equal(t, exitFailed, p.exit())
	require.Contains(t, p.output(), "cannot serve admin on "+addr)
	require.Contains(t, p.output(), "choose another --admin-addr, or off")
}

func TestHealthInBypass(t *testing.T) {
	h := &health{stats: stats(running)}
	require.Empty(t, h.note())
	h.poison(os.ErrInvalid)
	require.Error(t, h.alive())
	bypassed := h.stats()
	bypassed.Mode = "bypass"
	h.stats = func() kafka.Stats { return bypassed }
	require.NoError(t, h.alive(), "nobody needs the store, and a restart would stop what flows")
	require.NoError(t, h.ready(t.Context()))
	require.Equal(t, "mode: bypass", h.note())
}
