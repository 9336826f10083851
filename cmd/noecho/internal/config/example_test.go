package config_test

import (
	"fmt"

	"github.com/spf13/pflag"

	"noecho/cmd/noecho/internal/config"
)

func Example() {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.AddFlags(flags)
	_ = flags.Parse([]string{"--brokers", "b1:9092", "--input", "orders", "--output", "orders-unique", "--group", "g", "--window", "36h"})

	c, err := config.Load(flags, []string{"NOECHO_WINDOW=12h", "NOECHO_DATA_DIR=/var/lib/noecho", "NOECHO_MAX_BYTES=9Gi"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Window, c.Origin("window"))
	fmt.Println(c.MaxBytes, c.Origin("max_bytes"))
	fmt.Println(c.Buckets, c.Origin("buckets"))
	// Output:
	// 36h0m0s --window
	// 9Gi NOECHO_MAX_BYTES
	// 6 default
}
