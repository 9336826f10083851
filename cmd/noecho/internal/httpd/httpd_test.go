package httpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() Options {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "noecho_test_total", Help: "A test's counter."})
	c.Add(3)
	reg.MustRegister(c)
	ok := func() error { return nil }
	return Options{Addr: "127.0.0.1:0", Gatherer: reg, Ready: ok, Alive: ok, Logger: slog.New(slog.DiscardHandler)}
}

func start(t *testing.T, o Options) (*Server, func(path string) (int, string)) {
	t.Helper()
	s, err := Start(o)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s, func(path string) (int, string) {
		t.Helper()
		r, err := client.Get("http://" + s.Addr() + path)
		require.NoError(t, err)
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.StatusCode, string(body)
	}
}

func TestRoutes(t *testing.T) {
	s, get := start(t, options())
	require.True(t, s.Loopback())
	code, body := get("/metrics")
	require.Equal(t, 200, code)
	require.Contains(t, body, "noecho_test_total 3\n")
	code, body = get("/healthz")
	require.Equal(t, 200, code)
	require.Equal(t, "ok\n", body)
	code, body = get("/")
	require.Equal(t, 200, code)
	require.Contains(t, body, "/readyz")
	code, _ = get("/nothing")
	require.Equal(t, 404, code)
}

func TestReadyAndAlive(t *testing.T) {
	var reason atomic.Pointer[string]
	check := func() error {
		if r := reason.Load(); r != nil {
			return errors.New(*r)
		}
		return nil
	}
	o := options()
	o.Ready = check
	_, get := start(t, o)
	code, _ := get("/readyz")
	require.Equal(t, 200, code)
	why := "no partitions are assigned yet"
	reason.Store(&why)
	code, body := get("/readyz")
	require.Equal(t, 503, code)
	require.Equal(t, why+"\n", body)
	code, _ = get("/healthz")
	require.Equal(t, 200, code, "not ready is not dead")
}

func TestNote(t *testing.T) {
	o := options()
	note := "mode: shadow"
	o.Note = func() string { return note }
	_, get := start(t, o)
	_, body := get("/readyz")
	require.Equal(t, "ok\nmode: shadow\n", body)
	note = ""
	_, body = get("/healthz")
	require.Equal(t, "ok\n", body)
}

var profiles = []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/pprof/symbol", "/debug/pprof/goroutine?debug=1"}

func TestPprofOnlyOnDemand(t *testing.T) {
	_, get := start(t, options())
	for _, path := range profiles {
		code, _ := get(path)
		require.Equal(t, 404, code, path)
	}
	o := options()
	o.Pprof = true
	s, get := start(t, o)
	for _, path := range profiles {
		code, _ := get(path)
		require.Equal(t, 200, code, path)
	}
	require.Greater(t, s.http.WriteTimeout, 30*time.Second, "the usual CPU profile fits")
}

func TestTimeouts(t *testing.T) {
	s, _ := start(t, options())
	require.NotZero(t, s.http.ReadHeaderTimeout)
	require.NotZero(t, s.http.ReadTimeout)
	require.NotZero(t, s.http.WriteTimeout)
	require.NotZero(t, s.http.IdleTimeout)
	require.NotZero(t, s.http.MaxHeaderBytes)
}

func TestPortInUse(t *testing.T) {
	s, _ := start(t, options())
	o := options()
	o.Addr = s.Addr()
	_, err := Start(o)
	require.ErrorContains(t, err, "cannot serve metrics on "+s.Addr())
	require.ErrorContains(t, err, "choose another --metrics-addr, or off")
}

func TestWritesNeedGet(t *testing.T) {
	s, _ := start(t, options())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Post("http://"+s.Addr()+"/metrics", "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 405, r.StatusCode)
}
