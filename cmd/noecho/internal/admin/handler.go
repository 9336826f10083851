package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"

	"noecho/kafka"
)

// bodyBytes is more than any body needs.
const bodyBytes = 1 << 10

// Relay is what is seen and changed: a *kafka.Relay.
type Relay interface {
	Stats() kafka.Stats
	SetMode(kafka.Mode) (was kafka.Mode, err error)
}

// Options of a Handler.
type Options struct {
	Relay Relay
	About Status       // the fields that do not change: topics, group, on_duplicate, fencing; of Changelog the topic and Standby
	Ready func() error // nil error: ready
	Addr  string       // as configured; its host, if it is a name, may be asked for
	Log   *slog.Logger
}

// Handler returns the routes, guarded.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", o.status)
	mux.HandleFunc("PUT /v1/mode", o.setMode)
	mux.HandleFunc("POST /v1/mode", o.setMode)
	mux.HandleFunc("/v1/status", only("GET, HEAD"))
	mux.HandleFunc("/v1/mode", only("PUT, POST"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is nothing at %q: see /v1/status and /v1/mode", r.URL.Path)
	})
	return o.guard(mux)
}

// only answers the methods that a route does not have. The mux's own answers are not JSON, and who scripts this reads JSON.
func only(allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		refuse(w, http.StatusMethodNotAllowed, "%s %s is not taken; it takes %s", r.Method, r.URL.Path, allowed)
	}
}

// guard refuses what a browser sends: see the package comment.
func (o Options) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case !o.ours(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "the name %q in Host is not this server's: ask by its address, or by localhost", r.Host)
		case r.Header.Get("Origin") != "" || site != "" && site != "none":
			refuse(w, http.StatusForbidden, "requests of web pages are not taken")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ours says whether a Host header may name this server.
func (o Options) ours(hostport string) bool {
	host := hostOf(hostport)
	if strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil {
		return true
	}
	configured := hostOf(o.Addr)
	return configured != "" && strings.EqualFold(host, configured)
}

func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport // without a port
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

func (o Options) status(w http.ResponseWriter, _ *http.Request) {
	s, stats := o.About, o.Relay.Stats()
	s.fill(&stats)
	if err := o.Ready(); err != nil {
		s.Reason = err.Error()
	} else {
		s.Ready = true
	}
	answer(w, http.StatusOK, &s)
}

func (o Options) setMode(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "send Content-Type: application/json")
		return
	}
	var change Change
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyBytes))
	body.DisallowUnknownFields()
	if err := body.Decode(&change); err != nil {
		refuse(w, http.StatusBadRequest, `the body is not like {"mode": "shadow"}: %v`, err)
		return
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		refuse(w, http.StatusBadRequest, "the body goes on after its end")
		return
	}
	was, err := o.Relay.SetMode(kafka.Mode(change.Mode))
	if err != nil {
		code := http.StatusConflict
		if !slices.Contains(kafka.Modes(), kafka.Mode(change.Mode)) {
			code = http.StatusBadRequest
		}
		refuse(w, code, "%v", err)
		return
	}
	o.Log.Info("admin: mode set", "mode", change.Mode, "was", string(was), "from", r.RemoteAddr)
	answer(w, http.StatusOK, &Changed{Mode: change.Mode, Was: string(was)})
}

func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	answer(w, code, &failure{fmt.Sprintf(format, args...)})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // who has gone does not read it
}
