// Package httpd serves what an operator and his machines ask a running noecho over HTTP:
//
//	/metrics        Prometheus (OpenMetrics when asked for)
//	/healthz        200 while the process can do its work, 503 with the reason when only a restart helps
//	/readyz         200 when its partitions are assigned and being worked on, else 503 with the reason
//	/debug/pprof/   profiles, only with Options.Pprof: they show memory and cost CPU
//
// It has a mux of its own. http.DefaultServeMux is never served: importing net/http/pprof puts the profiles there, and so
// may any dependency put what it likes.
//
// A Server is safe for concurrent use. Ready and Alive are called from the server's goroutines.
package httpd
