package engine

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OnFull says what happens when the current bucket alone is over MaxKeys or MaxBytes.
type OnFull uint8

const (
	// Shrink drops the current bucket's marks at the next seal and says so: copies of its records pass.
	Shrink OnFull = iota
	// Fail makes Check return ErrFull: nothing is taken in until the limit is raised.
	Fail
)

// Hash names for Options.Hash.
const (
	HashXXH3    = "xxh3"    // seeded XXH3-128: the default, for producers that are trusted
	HashSipHash = "siphash" // SipHash-2-4-128 with a secret key: where producers may choose keys in bad faith
)

// Filter names for Options.Filter.
const (
	FilterSliced = "sliced" // bit-sliced blocked Bloom filter: one lookup says which buckets may hold a key
	FilterRing   = "ring"   // one bits-and-blooms filter a bucket
)

// Options of a store. The zero value of a field means its default; Window has none and must be given.
//
// Window, Buckets, Hash, Seed and KeySpec are written into the store when it is made; a store refuses to open with others.
type Options struct {
	// Window is how long (in stream time, by the records' timestamps) a key is remembered: at least Window and at most
	// Window*(1+1/Buckets). A whole number of milliseconds that Buckets divides; at least one millisecond a bucket.
	Window time.Duration
	// Buckets is G, the number of buckets to the window: 1 to 4096, default 6. More buckets expire more finely, but the
	// filter tells 8 planes apart: up to 6 buckets have one each, more share them and look up in more places.
	Buckets int
	// Refresh makes the window slide: a duplicate renews its key. Default: fixed from the first occurrence.
	Refresh bool

	// MaxKeys and MaxBytes bound the store (all partitions together; bytes on disk). 0: no bound. Over it the oldest bucket
	// goes early, so that the window shrinks: Events.WindowShrunk, a log line and Metrics say so.
	MaxKeys  int64
	MaxBytes int64
	OnFull   OnFull

	// MaxClockLead is how far a record's timestamp may be ahead of this machine's clock. Beyond it counts as missing, so
	// that one producer with a broken clock cannot expire the whole window. Default 1 hour; negative: no limit.
	MaxClockLead time.Duration

	// Hash is HashXXH3 (default) or HashSipHash; Seed its 16-byte secret. nil: a random one is made with the store.
	Hash string
	Seed []byte

	// KeySpec says what the caller makes keys of ("json:order_id"), in the caller's own words; "": not said. It is written into
	// a new store, and a store refuses another one: marks of customer numbers would drop orders of the same number.
	KeySpec string

	// Filter is FilterSliced (default) or FilterRing; FilterBits the bits of memory a key, 8 to 32, default 13: a filter
	// is made for a sixth more keys than the last bucket had, so that a key usually has 15.
	Filter     string
	FilterBits int

	// ExpectedKeys is how many keys a partition is expected to get in a window; 0: not known. A hint: with it the filter has its size from the
	// first bucket on, and without it from the second, by what the first one got. Until then it is in several layers, which take
	// memory beside the filter and time at each lookup. Memory is taken for as many, about FilterBits each, however few come.
	ExpectedKeys int64

	// Trail keeps the marks in the order of the log, too: about 17 bytes of disk a key more. A producer that republishes the past
	// is then deduplicated several times faster, because one lookup brings in the marks of the neighbours. May be changed at any
	// time: buckets that were written without it are looked up one by one.
	Trail bool

	// MemoryBytes is the budget for the tables of all partitions: active, being sealed, and kept for recent duplicates.
	// Default 256 MiB; a partition may have 50 KiB whatever it says. Filters (about FilterBits a key of the window) and CacheBytes come on top.
	MemoryBytes int64
	// TableKeys is how many marks a table takes before it is sealed; 0: chosen from MemoryBytes and the partitions.
	TableKeys int
	// CacheBytes is the index's block cache; default 128 MiB: the filters of the runs that wait to be merged, a byte a key and 64 MiB at
	// the most for a partition, must stay in it, or each lookup reads some from the disk.
	CacheBytes int64
	// SegmentBytes is the size of a WAL segment; default 64 MiB. WALBytes is how much log is kept before partitions that
	// hold back its end are sealed; default 4 segments.
	SegmentBytes int64
	WALBytes     int64

	// FS is the file system for the WAL and the index; nil: the operating system's.
	FS vfs.FS
	// Logger takes what an operator should read; nil: nothing is logged.
	Logger *slog.Logger
	Events Events
	// Now is the machine's clock, used for MaxClockLead only; nil: time.Now.
	Now func() time.Time

	maxHot    int           // sealed tables a partition keeps readable; tests set it to evict at once
	leastKept int           // keys from which on a bucket's plane is kept; tests have none as small
	reread    func() error  // called when a rebuild has read the index, before what it brought is adopted; tests hold it there
	slow      time.Duration // the mean time of lookups from which on they are done ahead; tests set it to do so always
}

// Events are called synchronously from the goroutine where they happen, some with locks held: return at once and do not
// call the engine from them. nil ones are skipped.
type Events struct {
	// WindowShrunk: a bucket was dropped before it was dead, because of MaxKeys or MaxBytes.
	WindowShrunk func(WindowShrunk)
	// ClockLead: a timestamp was more than MaxClockLead ahead (at most once a minute).
	ClockLead func(topic string, partition int32, offset, timestamp int64)
	// Check: one batch of so many records was decided in d. Timed only where this is set.
	Check func(records int, d time.Duration)
	// Fsync: one group sync of the WAL took d and made so many frames durable.
	Fsync func(d time.Duration, frames int)
	// Sealed: a seal wrote so many marks into the index in d.
	Sealed func(marks int, d time.Duration)
	// Poisoned: the store failed; called once.
	Poisoned func(error)
}

// WindowShrunk describes a bucket that went early.
type WindowShrunk struct {
	Topic     string
	Partition int32
	Keys      uint64        // marks that went with the bucket
	Effective time.Duration // the window that still holds
	Current   bool          // the current bucket itself was emptied (OnFull=Shrink)
}

const (
	defaultBuckets   = 6
	maxBuckets       = 4096
	defaultClockLead = time.Hour
	defaultMemory    = 256 << 20
	defaultCache     = 128 << 20
	defaultSegment   = 64 << 20
	defaultBits      = 13
)

// withDefaults fills what was left at zero.
func (o Options) withDefaults() Options {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	if o.Buckets == 0 {
		o.Buckets = defaultBuckets
	}
	if o.MaxClockLead == 0 {
		o.MaxClockLead = defaultClockLead
	}
	if o.Hash == "" {
		o.Hash = HashXXH3
	}
	if o.Filter == "" {
		o.Filter = FilterSliced
	}
	if o.FilterBits == 0 {
		o.FilterBits = defaultBits
	}
	def(&o.MemoryBytes, defaultMemory)
	def(&o.CacheBytes, defaultCache)
	if o.MaxBytes > 0 && o.SegmentBytes == 0 {
		// The log is part of the bound: a small store gets small segments.
		o.SegmentBytes = min(defaultSegment, max(o.MaxBytes/32, 64<<10))
	}
	def(&o.SegmentBytes, defaultSegment)
	def(&o.WALBytes, 4*o.SegmentBytes)
	if o.maxHot == 0 {
		o.maxHot = maxHotTables
	}
	if o.leastKept == 0 {
		o.leastKept = leastKept
	}
	if o.slow == 0 {
		o.slow = slowLookup
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// validate names every violation at once.
func (o *Options) validate() error {
	var bad []string
	add := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	add(o.Window > 0, "Window must be above 0 (it is %v): say how long a key is to be remembered", o.Window)
	add(o.Buckets >= 1 && o.Buckets <= maxBuckets, "Buckets must be 1 to %d (it is %d)", maxBuckets, o.Buckets)
	if o.Window > 0 && o.Buckets >= 1 {
		ms := o.Window.Milliseconds()
		add(o.Window%time.Millisecond == 0 && ms%int64(o.Buckets) == 0,
			"Window (%v) must be a whole number of milliseconds that Buckets (%d) divides", o.Window, o.Buckets)
	}
	add(o.MaxKeys >= 0, "MaxKeys must not be negative (it is %d)", o.MaxKeys)
	add(o.MaxBytes >= 0, "MaxBytes must not be negative (it is %d)", o.MaxBytes)
	add(o.ExpectedKeys >= 0, "ExpectedKeys must not be negative (it is %d)", o.ExpectedKeys)
	add(o.MaxBytes == 0 || o.MaxBytes >= 1<<20, "MaxBytes must be at least 1 MiB (it is %d)", o.MaxBytes)
	add(o.OnFull <= Fail, "OnFull must be Shrink or Fail")
	add(o.Hash == HashXXH3 || o.Hash == HashSipHash, "Hash must be %q or %q (it is %q)", HashXXH3, HashSipHash, o.Hash)
	add(o.Seed == nil || len(o.Seed) == seedLen, "Seed must have %d bytes (it has %d)", seedLen, len(o.Seed))
	add(o.Filter == FilterSliced || o.Filter == FilterRing, "Filter must be %q or %q (it is %q)", FilterSliced, FilterRing, o.Filter)
	add(o.FilterBits >= 8 && o.FilterBits <= 32, "FilterBits must be 8 to 32 (it is %d)", o.FilterBits)
	add(o.MemoryBytes >= 1<<20, "MemoryBytes must be at least 1 MiB (it is %d)", o.MemoryBytes)
	add(o.TableKeys >= 0, "TableKeys must not be negative (it is %d)", o.TableKeys)
	add(o.CacheBytes >= 0, "CacheBytes must not be negative (it is %d)", o.CacheBytes)
	add(o.SegmentBytes >= 4<<10 && o.SegmentBytes <= 1<<30, "SegmentBytes must be 4 KiB to 1 GiB (it is %d)", o.SegmentBytes)
	add(o.MaxBytes == 0 || o.SegmentBytes+o.WALBytes <= o.MaxBytes/2,
		"SegmentBytes and WALBytes must be at most half of MaxBytes (they are %d and %d): the log counts, too", o.SegmentBytes, o.WALBytes)
	add(o.WALBytes >= o.SegmentBytes, "WALBytes must be at least SegmentBytes (it is %d)", o.WALBytes)
	if bad != nil {
		return &OptionsError{Problems: bad}
	}
	return nil
}
