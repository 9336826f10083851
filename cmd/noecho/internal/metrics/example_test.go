package metrics_test

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noecho/cmd/noecho/internal/metrics"
	"noecho/engine"
	"noecho/kafka"
)

func Example() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&metrics.Collector{
		Input: "orders", Output: "orders-unique", Window: 24 * time.Hour,
		Engine: func() engine.Metrics { return engine.Metrics{} },
		Relay:  func() kafka.Stats { return kafka.Stats{Totals: kafka.Totals{Unique: 80, Duplicate: 20}} },
	})
	families, _ := registry.Gather()
	for _, f := range families {
		if f.GetName() != "noecho_records_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			fmt.Println(m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue(), m.GetCounter().GetValue())
		}
	}
	// Output:
	// bypassed orders 0
	// duplicate orders 20
	// no_key orders 0
	// redelivery orders 0
	// unique orders 80
	// unjudged orders 0
}
