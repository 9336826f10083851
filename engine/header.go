package engine

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion of the data directory. A store of another version is refused.
const formatVersion = 1

// headerName is the file that says what a data directory is. It holds the secret seed: it is as private as the data.
const headerName = "NOECHO"

// indexDir and walDir hold the data.
const (
	indexDir = "index"
	walDir   = "wal"
)

// header is what a store is made with and cannot be opened without. It is JSON, so that a person can read it.
type header struct {
	Format   int    `json:"format"`
	ID       string `json:"id"`            // random, hex; names this store for its life
	Hash     string `json:"hash"`          // HashXXH3 or HashSipHash
	Seed     string `json:"seed"`          // hex, 16 bytes, secret
	WindowMs int64  `json:"window_ms"`     // Window in milliseconds
	Buckets  int    `json:"buckets"`       // G
	KeySpec  string `json:"key,omitempty"` // Options.KeySpec
	CRC      string `json:"crc32c"`        // over the header with this field empty
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h header) checksum() string {
	h.CRC = ""
	b, err := json.Marshal(h)
	if err != nil {
		panic("engine: a header of strings and numbers cannot be marshalled: " + err.Error()) // a bug, not an input
	}
	return fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli))
}

func newHeader(o *Options) (header, error) {
	seed := o.Seed
	if seed == nil {
		seed = make([]byte, seedLen)
		if _, err := rand.Read(seed); err != nil {
			return header{}, fmt.Errorf("engine: making the store's seed: %w", err)
		}
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return header{}, fmt.Errorf("engine: making the store's id: %w", err)
	}
	h := header{
		Format: formatVersion, ID: hex.EncodeToString(id), Hash: o.Hash, Seed: hex.EncodeToString(seed),
		WindowMs: o.Window.Milliseconds(), Buckets: o.Buckets, KeySpec: o.KeySpec,
	}
	h.CRC = h.checksum()
	return h, nil
}

// readHeader returns ok=false when there is none, and no data either: marks hashed with a seed that is lost would all be
// blind, and a new header on top of them would hide it.
func readHeader(fs vfs.FS, dir string) (h header, ok bool, err error) {
	path := fs.PathJoin(dir, headerName)
	f, err := fs.Open(path)
	if oserror.IsNotExist(err) {
		if _, err := fs.Stat(fs.PathJoin(dir, indexDir)); err == nil {
			return header{}, false, &HeaderError{Path: path, Reason: "it is missing, and there is data beside it"}
		}
		return header{}, false, nil
	}
	if err != nil {
		return header{}, false, fmt.Errorf("engine: opening the header: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return header{}, false, fmt.Errorf("engine: reading %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return header{}, false, &HeaderError{Path: path, Reason: err.Error()}
	}
	if h.Format != formatVersion {
		return header{}, false, &IncompatibleError{Dir: dir, Field: "format", Store: fmt.Sprint(h.Format), Given: fmt.Sprint(formatVersion),
			Hint: "use the version of noecho that made it, or another directory"}
	}
	if h.CRC != h.checksum() {
		return header{}, false, &HeaderError{Path: path, Reason: "its checksum does not hold"}
	}
	if seed, err := hex.DecodeString(h.Seed); err != nil || len(seed) != seedLen {
		return header{}, false, &HeaderError{Path: path, Reason: "its seed is no seed"}
	}
	return h, true, nil
}

// writeHeader makes the header durable: a temporary file, synced, renamed, and the directory synced.
func writeHeader(fs vfs.FS, dir string, h header) error {
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(fs, dir, headerName, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

// tmpSuffix is what a file is called until it is whole.
const tmpSuffix = ".tmp"

// writeFile replaces dir/name atomically and durably.
func writeFile(fs vfs.FS, dir, name string, write func(io.Writer) error) (err error) {
	tmp, path := fs.PathJoin(dir, name+tmpSuffix), fs.PathJoin(dir, name)
	defer func() {
		if err != nil {
			_ = fs.Remove(tmp) // it may be large; one that stays is of no account
			err = fmt.Errorf("engine: writing %s: %w", path, err)
		}
	}()
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if fs == vfs.Default {
		// The header holds the seed, and the directory may be an operator's own, open to all.
		if err := os.Chmod(tmp, 0o600); err != nil {
			_ = f.Close() // nothing was written
			return err
		}
	}
	// A part at a time: a hundred megabytes that wait for the fsync would hold up those of the log.
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: 512 << 10})
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := fs.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// makeDir makes a directory and what is missing above it, durably: a synced file in a directory whose own entry was
// never synced is gone after a power failure. The two directories above are synced even when dir is there: an earlier
// life may have died before it came to that.
func makeDir(fs vfs.FS, dir string) error {
	var missing []string
	for d := dir; ; d = fs.PathDir(d) {
		_, err := fs.Stat(d)
		if err != nil && !oserror.IsNotExist(err) {
			return err
		}
		missing = append(missing, fs.PathDir(d))
		if (err == nil && len(missing) > 1) || fs.PathDir(d) == d {
			break
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range missing {
		if err := syncDir(fs, d); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// compatible says in one sentence in what the store differs from the options. A seed that is not given is no difference.
func (h *header) compatible(dir string, o *Options) error {
	diff := func(field, store, given, hint string) error {
		return &IncompatibleError{Dir: dir, Field: field, Store: store, Given: given, Hint: hint}
	}
	const fresh = "open it with what it was made with, or use another directory (the window starts empty there)"
	switch {
	case h.Hash != o.Hash:
		return diff("hash", h.Hash, o.Hash, fresh)
	case o.Seed != nil && h.Seed != hex.EncodeToString(o.Seed):
		return diff("seed", "another one", "this one", fresh)
	case h.WindowMs != o.Window.Milliseconds():
		return diff("window", (time.Duration(h.WindowMs) * time.Millisecond).String(), o.Window.String(), fresh)
	case o.KeySpec != "" && h.KeySpec != "" && h.KeySpec != o.KeySpec:
		// Marks of customers would drop orders: the ids of one spec mean nothing to another.
		return diff("key", h.KeySpec, o.KeySpec, fresh)
	case h.Buckets != o.Buckets:
		return diff("buckets", fmt.Sprint(h.Buckets), fmt.Sprint(o.Buckets), fresh)
	}
	return nil
}
