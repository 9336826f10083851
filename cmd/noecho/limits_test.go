package main

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/cmd/noecho/internal/config"
	"noecho/engine"
)

// What config lets through, the engine takes: the limits are written down twice, because config names settings and
// remedies where the engine names fields, and this is what keeps them together.
func TestConfigAgreesWithEngine(t *testing.T) {
	edges := map[string][]string{
		"window": {"1ms", "6ms", "7ms", "1s", "8760h", "90m"}, "buckets": {"0", "1", "7", "4096", "4097"},
		"max-keys": {"1", "1e9"}, "max-bytes": {"1000k", "1Mi", "10Mi", "1Gi"}, "on-full": {"fail"},
		"max-clock-lead": {"-1s", "1ns"}, "hash": {"siphash"}, "filter": {"ring"}, "filter-bits": {"7", "8", "32", "33", "64"},
		"memory-bytes": {"1000k", "1Mi"}, "cache-bytes": {"0", "1", "1Mi"}, "segment-bytes": {"1Ki", "4Ki", "100Ki", "1Mi", "2Gi"},
	}
	names := slices.Sorted(maps.Keys(edges))
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		config.AddFlags(flags)
		// Small segments: the file system below is memory, and a segment is written in full when it is made.
		args := []string{"--brokers=b", "--input=i", "--output=o", "--group=g", "--data-dir=d", "--segment-bytes=64Ki"}
		for range rapid.IntRange(0, 3).Draw(t, "settings") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			args = append(args, "--"+name+"="+rapid.SampledFrom(edges[name]).Draw(t, "value"))
		}
		require.NoError(t, flags.Parse(args))
		c, err := config.Load(flags, nil)
		if err != nil {
			return
		}
		accepted++
		o := engineOptions(c, slog.New(slog.DiscardHandler), engine.Events{})
		o.FS = vfs.NewMem()
		e, err := engine.Open("d", o)
		require.NoError(t, err, "%v", args)
		require.NoError(t, e.Close())
	})
	require.Positive(t, accepted)
}
