package httpd_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"

	"noecho/cmd/noecho/internal/httpd"
)

func Example() {
	h := httpd.Handler(httpd.Options{
		Gatherer: prometheus.NewRegistry(),
		Alive:    func() error { return nil },
		Ready:    func() error { return errors.New("no partitions are assigned yet") },
		Logger:   slog.New(slog.DiscardHandler),
	})
	for _, path := range []string{"/healthz", "/readyz", "/debug/pprof/"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Printf("%d %s", w.Code, w.Body)
	}
	// Output:
	// 200 ok
	// 503 no partitions are assigned yet
	// 404 404 page not found
}
