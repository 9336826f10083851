package httpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Time limits, so that no client, slow on purpose or not, holds a connection for ever.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 16 << 10
	// profileTimeout is writeTimeout with pprof: a CPU profile runs for 30 s unless told otherwise, and net/http/pprof
	// refuses what is longer than the server's write timeout.
	profileTimeout = 3 * time.Minute
)

// Options of a Server.
type Options struct {
	Addr     string // host:port; port 0 chooses a free one
	Pprof    bool
	Gatherer prometheus.Gatherer
	Ready    func() error  // nil error: ready
	Alive    func() error  // nil error: alive
	Note     func() string // what a prober should also see, a line; nil, or "": nothing
	Logger   *slog.Logger
}

// Server is a listening HTTP server.
type Server struct {
	what     string // in messages
	http     *http.Server
	listener net.Listener
	done     chan struct{} // closed when the serving goroutine has ended
	log      *slog.Logger
}

// Start listens and serves. The address is bound before it returns, so that a port in use is an error at start and not
// a log line later.
func Start(o Options) (*Server, error) {
	write := writeTimeout
	if o.Pprof {
		write = profileTimeout
	}
	return listen("metrics", "--metrics-addr", o.Addr, Handler(o), write, o.Logger)
}

// StartAdmin does the same for the admin endpoint.
func StartAdmin(addr string, h http.Handler, log *slog.Logger) (*Server, error) {
	return listen("admin", "--admin-addr", addr, h, writeTimeout, log)
}

func listen(what, flag, addr string, h http.Handler, write time.Duration, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s on %s: %w; choose another %s, or off", what, addr, err, flag)
	}
	s := &Server{
		what: what,
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      write,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    headerBytes,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		listener: l,
		done:     make(chan struct{}),
		log:      log,
	}
	go s.serve()
	return s, nil
}

func (s *Server) serve() {
	defer close(s.done)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("the "+s.what+" server stopped", "err", err)
	}
}

// Addr returns the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Loopback reports whether only this machine can reach the server.
func (s *Server) Loopback() bool {
	tcp, ok := s.listener.Addr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Close lets running requests end until ctx does, then cuts them off. No goroutine of the server is left.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	if err != nil {
		return fmt.Errorf("close the %s server: %w", s.what, err)
	}
	return nil
}

// Handler returns the routes.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 4,
		Timeout:             20 * time.Second,
	}))
	mux.Handle("GET /healthz", probe(o.Alive, o.Note))
	mux.Handle("GET /readyz", probe(o.Ready, o.Note))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "noecho\n\n/metrics\n/healthz\n/readyz\n")
	})
	if o.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// probe answers "ok" or 503 with the reason, and the note on a line of its own.
func probe(check func() error, note func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, err)
		} else {
			_, _ = io.WriteString(w, "ok\n")
		}
		if note == nil {
			return
		}
		if text := note(); text != "" {
			_, _ = fmt.Fprintln(w, text)
		}
	})
}
