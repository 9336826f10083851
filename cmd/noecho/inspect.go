package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"noecho/cmd/noecho/internal/config"
	"noecho/engine"
)

func newInspect() *cobra.Command {
	var asJSON, buckets bool
	cmd := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Show what a data directory holds",
		Long: `inspect reads a data directory and changes nothing: the partitions, the offsets their state covers, the committed
offset, the topic's id (in JSON), live keys and buckets of time, the effective window, and the space on disk.

The store must not be in use; ask a running noecho for its /metrics instead.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := engine.Inspect(args[0])
			if errors.Is(err, engine.ErrLocked) {
				return fmt.Errorf("%w (a running noecho shows its state in /metrics)", err)
			} else if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), &r)
			}
			return writeTable(cmd.OutOrStdout(), &r, buckets)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON, with the buckets")
	cmd.Flags().BoolVar(&buckets, "buckets", false, "list the live buckets of time too")
	return cmd
}

// The JSON of inspect: field names are a promise to scripts, so they are not the engine's.
type storeJSON struct {
	Dir           string          `json:"dir"`
	ID            string          `json:"id"`
	Format        int             `json:"format"`
	Hash          string          `json:"hash"`
	WindowSeconds float64         `json:"window_seconds"`
	Buckets       int             `json:"buckets"`
	Keys          uint64          `json:"keys"`
	IndexBytes    uint64          `json:"index_bytes"`
	WALBytes      int64           `json:"wal_bytes"`
	WALFrames     int             `json:"wal_frames"`
	Partitions    []partitionJSON `json:"partitions"`
}

type partitionJSON struct {
	Topic                  string       `json:"topic"`
	Partition              int32        `json:"partition"`
	TopicID                string       `json:"topic_id,omitempty"` // as Kafka's tools show it; left out: not known
	CoverageStart          int64        `json:"coverage_start"`
	CoverageTo             int64        `json:"coverage_to"`
	Committed              *int64       `json:"committed"` // null: never
	StreamTime             *time.Time   `json:"stream_time"`
	Keys                   uint64       `json:"keys"`
	WindowEffectiveSeconds float64      `json:"window_effective_seconds"`
	IndexBytes             uint64       `json:"index_bytes"`
	TrailBytes             uint64       `json:"trail_bytes"`
	Buckets                []bucketJSON `json:"live_buckets"`
}

type bucketJSON struct {
	Start       time.Time `json:"start"`
	FirstOffset int64     `json:"first_offset"`
	Keys        uint64    `json:"keys"`
}

func writeJSON(w io.Writer, r *engine.Report) error {
	s := storeJSON{
		Dir: r.Dir, ID: r.ID, Format: r.Format, Hash: r.Hash, WindowSeconds: r.Window.Seconds(), Buckets: r.Buckets,
		Keys: totalKeys(r), IndexBytes: r.IndexBytes, WALBytes: r.WALBytes, WALFrames: r.WALFrames, Partitions: []partitionJSON{},
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		out := partitionJSON{
			Topic: p.Topic, Partition: p.Partition, CoverageStart: p.Start, CoverageTo: p.To, Keys: p.Keys,
			WindowEffectiveSeconds: p.EffectiveWindow.Seconds(), IndexBytes: p.IndexBytes, TrailBytes: p.TrailBytes, Buckets: []bucketJSON{},
		}
		if p.LogID != (engine.LogID{}) {
			out.TopicID = base64.RawURLEncoding.EncodeToString(p.LogID[:])
		}
		if p.Committed >= 0 {
			out.Committed = &p.Committed
		}
		if p.StreamTime > 0 {
			at := time.UnixMilli(p.StreamTime).UTC()
			out.StreamTime = &at
		}
		for _, b := range p.Buckets {
			out.Buckets = append(out.Buckets, bucketJSON{time.UnixMilli(b.StartMs).UTC(), b.First, b.Keys})
		}
		s.Partitions = append(s.Partitions, out)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(&s)
}

func writeTable(w io.Writer, r *engine.Report, buckets bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	out := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) } // Flush returns the error
	out("directory\t%s\n", r.Dir)
	out("store\tid %s, format %d, hash %s\n", r.ID, r.Format, r.Hash)
	out("window\t%s in %d buckets\n", config.ShortDuration(r.Window), r.Buckets)
	out("keys\t%d\n", totalKeys(r))
	out("on disk\tindex %s, log %s (%d frames the index does not hold yet)\n", bytesText(r.IndexBytes), bytesText(uint64(r.WALBytes)), r.WALFrames)
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Partitions) == 0 {
		_, err := fmt.Fprintln(w, "\nno partitions yet")
		return err
	}
	out("\nTOPIC\tPARTITION\tCOVERAGE\tCOMMITTED\tKEYS\tBUCKETS\tWINDOW\tSTREAM TIME\tINDEX\n")
	for i := range r.Partitions {
		p := &r.Partitions[i]
		out("%s\t%d\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", p.Topic, p.Partition, coverage(p.Start, p.To), orNever(p.Committed), p.Keys,
			len(p.Buckets), config.ShortDuration(p.EffectiveWindow), streamTime(p.StreamTime), bytesText(p.IndexBytes))
	}
	if buckets {
		out("\nTOPIC\tPARTITION\tBUCKET FROM\tFIRST OFFSET\tKEYS\n")
		for i := range r.Partitions {
			for _, b := range r.Partitions[i].Buckets {
				out("%s\t%d\t%s\t%d\t%d\n", r.Partitions[i].Topic, r.Partitions[i].Partition, streamTime(b.StartMs), b.First, b.Keys)
			}
		}
	}
	return t.Flush()
}

func totalKeys(r *engine.Report) (n uint64) {
	for i := range r.Partitions {
		n += r.Partitions[i].Keys
	}
	return n
}

func coverage(start, to int64) string {
	if start == to {
		return "none"
	}
	return fmt.Sprintf("[%d, %d)", start, to)
}

func orNever(offset int64) string {
	if offset < 0 {
		return "never"
	}
	return strconv.FormatInt(offset, 10)
}

func streamTime(ms int64) string {
	if ms <= 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z")
}

func bytesText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(n), 0
	for ; v >= 1024 && u < len(units)-1; u++ {
		v /= 1024
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}
