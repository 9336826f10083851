package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"noecho/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a relay.
type fake struct {
	mode   kafka.Mode
	refuse error
}

func (f *fake) Stats() kafka.Stats {
	return kafka.Stats{Mode: f.mode, Totals: kafka.Totals{Unique: 1, Redelivery: 2, Duplicate: 3, NoKey: 4, Bypassed: 5, Unjudged: 6, Tagged: 7, Produced: 8, DuplicatesProduced: 9},
		LeaseHeld: true, SessionTimeout: 45 * time.Second, Missing: kafka.Missing{None: 21, Behind: 22, Retention: 23, Bounded: 24, Removed: 25},
		Changelog: kafka.ChangelogStats{Records: 31, Bytes: 32, Marks: 33, Pending: 34, Failures: 35, Restored: 36, Passed: 37},
		Standby:   []kafka.StandbyPartition{{Partition: 1, Known: 41, Lag: 0, Warm: true}, {Partition: 3, Known: 42, Lag: 43}},
		Partitions: []kafka.PartitionStats{
			{Partition: 0, State: kafka.StateRunning, Paused: true, Next: 11, Committed: 10, Lag: 9, Queued: 8},
			{Partition: 2, State: kafka.StateRestoring, Committed: -1, Lag: -1,
				Learning: kafka.Learning{Learned: 51, LearnFrom: 52, LearnWhy: kafka.LearnReasonBound, LearnAt: 53, LearnTarget: 54, Passing: true}},
		}}
}

func (f *fake) SetMode(m kafka.Mode) (kafka.Mode, error) {
	was := f.mode
	if f.refuse != nil {
		return was, f.refuse
	}
	f.mode = m
	return was, nil
}

func options(f *fake) Options {
	return Options{Relay: f, Addr: "noecho.example:9465", Log: slog.New(slog.DiscardHandler), Ready: func() error { return nil },
		About: Status{OnDuplicate: "drop", Input: "in", Output: "out", Group: "g", GroupProtocol: "consumer", Fencing: "none"}}
}

// serve returns the address of a server with the handler.
func serve(t *testing.T, o Options) string {
	s := httptest.NewServer(Handler(o))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestModeAndStatus(t *testing.T) {
	f := &fake{mode: kafka.ModeActive}
	o := options(f)
	c := NewClient(serve(t, o))
	changed, raw, err := c.SetMode(context.Background(), "shadow")
	require.NoError(t, err)
	require.Equal(t, Changed{Mode: "shadow", Was: "active"}, changed)
	require.JSONEq(t, `{"mode":"shadow","was":"active"}`, string(raw))
	s, raw, err := c.Status(context.Background())
	require.NoError(t, err)
	require.Equal(t, "shadow", s.Mode)
	require.JSONEq(t, `{"mode":"shadow","on_duplicate":"drop","input":"in","output":"out","group":"g","group_protocol":"consumer","session_timeout_ms":45000,"fencing":"none","lease_held":true,"ready":true,
		"records":{"unique":1,"redelivery":2,"duplicate":3,"no_key":4,"bypassed":5,"unjudged":6,"tagged":7,"produced":8,"duplicates_produced":9},
		"missing":{"none":21,"behind":22,"retention":23,"bounded":24,"removed_offsets":25},
		"partitions":[{"partition":0,"state":"running","passing":false,"paused":true,"next":11,"committed":10,"lag":9,"queued":8},
			{"partition":2,"state":"restoring","passing":true,"paused":false,"next":0,"committed":null,"lag":null,"queued":0,
				"learn":{"from":52,"why":"learn_from","at":53,"target":54,"records":51}}]}`, string(raw))

	o.Ready = func() error { return errors.New("partition 2 is restoring") }
	s, _, err = NewClient(serve(t, o)).Status(context.Background())
	require.NoError(t, err)
	require.False(t, s.Ready)
	require.Equal(t, "partition 2 is restoring", s.Reason)
}

// TestStatusOfTheChangelog: it is shown where there is one, and the followed partitions with it.
func TestStatusOfTheChangelog(t *testing.T) {
	o := options(&fake{mode: kafka.ModeActive})
	o.About.Changelog = &Changelog{Topic: "marks", Standby: true}
	c := NewClient(serve(t, o))
	for range 2 {
		_, raw, err := c.Status(context.Background())
		require.NoError(t, err)
		var s map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &s))
		require.JSONEq(t, `{"topic":"marks","records":31,"marks":33,"pending":34,"failures":35,"restored":36,"passed":37,"standby":true,
			"followed":[{"partition":1,"known":41,"lag":0,"warm":true},{"partition":3,"known":42,"lag":43,"warm":false}]}`, string(s["changelog"]))
	}
	require.Empty(t, o.About.Changelog.Followed, "what does not change was not changed")
}

// TestRefused: what a browser can be made to send, and what is not understood. Nothing of it changes the mode.
func TestRefused(t *testing.T) {
	const asJSON = "application/json"
	for _, c := range []struct {
		name, method, path, body string
		host                     string
		header                   map[string]string
		code                     int
		says                     string
	}{
		{name: "a form", method: "POST", body: "mode=bypass", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, code: 415, says: "application/json"},
		{name: "JSON in disguise", method: "POST", body: `{"mode":"bypass"}`, header: map[string]string{"Content-Type": "text/plain"}, code: 415},
		{name: "no type", method: "PUT", body: `{"mode":"bypass"}`, code: 415},
		{name: "another origin", method: "PUT", body: `{"mode":"bypass"}`, header: map[string]string{"Content-Type": asJSON, "Origin": "http://evil.example"}, code: 403, says: "web pages"},
		{name: "null origin", method: "PUT", body: `{"mode":"bypass"}`, header: map[string]string{"Content-Type": asJSON, "Origin": "null"}, code: 403},
		{name: "a browser", method: "PUT", body: `{"mode":"bypass"}`, header: map[string]string{"Content-Type": asJSON, "Sec-Fetch-Site": "same-origin"}, code: 403},
		{name: "rebound name", method: "PUT", host: "evil.example:9465", body: `{"mode":"bypass"}`, header: map[string]string{"Content-Type": asJSON}, code: 421, says: `"evil.example:9465"`},
		{name: "rebound name reads", method: "GET", path: "/v1/status", host: "evil.example", code: 421},
		{name: "a name that begins like ours", method: "GET", path: "/v1/status", host: "localhost.evil.example", code: 421},
		{name: "no mode", method: "PUT", body: `{"mode":"off"}`, header: map[string]string{"Content-Type": asJSON}, code: 400, says: "no such mode"},
		{name: "empty", method: "PUT", body: ``, header: map[string]string{"Content-Type": asJSON}, code: 400, says: `{"mode": "shadow"}`},
		{name: "unknown field", method: "PUT", body: `{"mode":"bypass","force":true}`, header: map[string]string{"Content-Type": asJSON}, code: 400},
		{name: "more than one", method: "PUT", body: `{"mode":"bypass"}{}`, header: map[string]string{"Content-Type": asJSON}, code: 400},
		{name: "too long", method: "PUT", body: `{"mode":"` + strings.Repeat("x", bodyBytes) + `"}`, header: map[string]string{"Content-Type": asJSON}, code: 400},
		{name: "reading the switch", method: "GET", code: 405, says: "GET /v1/mode is not taken; it takes PUT, POST"},
		{name: "removing the switch", method: "DELETE", code: 405, says: "it takes PUT, POST"},
		{name: "writing the status", method: "POST", path: "/v1/status", code: 405, says: "it takes GET, HEAD"},
		{name: "preflight", method: "OPTIONS", header: map[string]string{"Origin": "http://evil.example"}, code: 403},
		{name: "elsewhere", method: "GET", path: "/mode", code: 404, says: "see /v1/status and /v1/mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{mode: kafka.ModeActive}
			if strings.Contains(c.body, `"off"`) {
				f.refuse = &kafka.ModeError{Mode: "off", Reason: "there is no such mode"}
			}
			path := c.path
			if path == "" {
				path = "/v1/mode"
			}
			r := httptest.NewRequest(c.method, path, strings.NewReader(c.body))
			r.Host = "127.0.0.1:9465"
			if c.host != "" {
				r.Host = c.host
			}
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			Handler(options(f)).ServeHTTP(w, r)
			require.Equal(t, c.code, w.Code, w.Body)
			require.Contains(t, w.Body.String(), strings.ReplaceAll(c.says, `"`, `\"`))
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			var answered failure
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answered), "errors are JSON")
			require.NotEmpty(t, answered.Error)
			require.Equal(t, kafka.ModeActive, f.mode)
		})
	}
}

func TestHosts(t *testing.T) {
	o := options(&fake{})
	for _, host := range []string{"127.0.0.1:9465", "[::1]:9465", "::1", "10.1.2.3", "localhost", "LocalHost:1", "noecho.example:9465", "noecho.example."} {
		require.True(t, o.ours(host), host)
	}
	for _, host := range []string{"", "evil.example", "127.0.0.1.evil.example:9465", "noecho.example.evil"} {
		require.False(t, o.ours(host), host)
	}
	o.Addr = ":9465"
	require.False(t, o.ours(""))
	require.True(t, o.ours("127.0.0.1:9465"))
}

func TestClientErrors(t *testing.T) {
	f := &fake{mode: kafka.ModeBypass, refuse: &kafka.ModeError{Mode: kafka.ModeActive, Reason: "the store could not be opened"}}
	c := NewClient(serve(t, options(f)))
	_, _, err := c.SetMode(context.Background(), "active")
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusConflict, refused.Code)
	require.ErrorContains(t, err, `noecho refused it: kafka: mode "active": the store could not be opened`)

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }))
	_, _, err = NewClient(strings.TrimPrefix(other.URL, "http://")).Status(context.Background())
	require.ErrorIs(t, err, errNotOurs)
	other.Close()
	_, _, err = NewClient(strings.TrimPrefix(other.URL, "http://")).Status(context.Background())
	var gone *UnreachableError
	require.ErrorAs(t, err, &gone)
	require.ErrorContains(t, err, "is noecho running there, with --admin-addr?")
	_, _, err = NewClient("no port and spaces").Status(context.Background())
	require.ErrorAs(t, err, &gone)

	text := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer text.Close()
	_, _, err = NewClient(strings.TrimPrefix(text.URL, "http://")).Status(context.Background())
	require.ErrorIs(t, err, errNotOurs)
	var syntax *json.SyntaxError
	require.ErrorAs(t, err, &syntax)
}
