package engine

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/bloom"
	"noecho/internal/index"
)

// drawHash draws hashes that are alike: few top bits, so that the directory grows deep in one place, and few low ones, so
// that probes run into each other and around the end of a page.
func drawHash(t *rapid.T) bloom.Hash {
	hi := rapid.SampledFrom([]uint64{0, 1, 1 << 52, 1 << 53, 1 << 63, 3 << 62, ^uint64(0)}).Draw(t, "top")
	return bloom.Hash{
		Hi: hi + rapid.Uint64Range(0, 3).Draw(t, "hi"),
		Lo: rapid.SampledFrom([]uint64{0, pageGroups - 1, pageGroups << 7}).Draw(t, "low") + rapid.Uint64Range(0, 40).Draw(t, "lo"),
	}
}

// TestTableAgainstMap does the same to a table and to a map.
func TestTableAgainstMap(t *testing.T) {
	pool := newTableMemory()
	rapid.Check(t, func(t *rapid.T) {
		table, want := newTable(3, pool), map[bloom.Hash]uint64{}
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			n := rapid.IntRange(1, 200).Draw(t, "n")
			for range n {
				h := drawHash(t)
				val := rapid.Uint64Range(1, 1000).Draw(t, "val")
				if val == 1000 {
					val = tombstone
				}
				if table.put(h, val) {
					want[h] = val
				}
				require.Equal(t, want[h], table.get(h))
			}
			requireSame(t, want, table)
		}
		table.release()
		require.Zero(t, pool.bytes(), "pages are missing")
	})
}

// requireSame compares lookups, the count and the entries, which must ascend.
func requireSame(t require.TestingT, want map[bloom.Hash]uint64, table *table) {
	require.Equal(t, len(want), table.n)
	for h, val := range want {
		require.Equal(t, val, table.get(h))
	}
	var last index.Entry
	n := 0
	for e := range table.entries {
		h := bloom.Hash{Hi: e.Hi, Lo: e.Lo}
		require.Equal(t, offsetOf(want[h]), e.Offset)
		require.True(t, n == 0 || e.Hi > last.Hi || (e.Hi == last.Hi && e.Lo > last.Lo), "%v after %v", e, last)
		last = e
		n++
	}
	require.Equal(t, len(want), n)
}

// TestTableGrows fills a table far beyond a page: splits lose nothing, and memory stays near what the marks take.
func TestTableGrows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pool := newTableMemory()
	table, want := newTable(0, pool), map[bloom.Hash]uint64{}
	for i := range 50_000 {
		h := bloom.Hash{Hi: rng.Uint64(), Lo: rng.Uint64()}
		want[h] = uint64(i + 1)
		require.True(t, table.put(h, uint64(i+1)))
	}
	requireSame(t, want, table)
	require.Less(t, table.bytes(), int64(50_000*24*5/2))
	require.Equal(t, pool.bytes(), int64(table.pages)*pageBytes)
	absent := 0
	for range 1000 {
		if table.get(bloom.Hash{Hi: rng.Uint64(), Lo: rng.Uint64()}) != 0 {
			absent++
		}
	}
	require.Zero(t, absent, "marks that were never put")
}

// TestTableEntriesStop: the keeper may stop reading in the middle.
func TestTableEntriesStop(t *testing.T) {
	table := newTable(0, newTableMemory())
	for i := range uint64(1000) {
		require.True(t, table.put(bloom.Hash{Hi: i << 54, Lo: i}, i+1))
	}
	n := 0
	for range table.entries {
		if n++; n == 700 {
			break
		}
	}
	require.Equal(t, 700, n)
}

// TestTableRefusesWhatIsNoHash: more hashes with equal top bits than a page holds cannot be split apart. put says so, and
// what is there stays.
func TestTableRefusesWhatIsNoHash(t *testing.T) {
	pool := newTableMemory()
	table, want := newTable(0, pool), map[bloom.Hash]uint64{}
	refused := 0
	for i := range uint64(pageFull + 10) {
		h := bloom.Hash{Hi: 0xabcdef1234 << 24, Lo: i * 7}
		if table.put(h, i+1) {
			want[h] = i + 1
		} else {
			refused++
		}
	}
	require.Equal(t, 10, refused)
	requireSame(t, want, table)
	h := bloom.Hash{Hi: 0xabcdef1234 << 24, Lo: 7}
	require.True(t, table.put(h, tombstone), "a hash that is there takes a new value")
	require.Equal(t, uint64(tombstone), table.get(h))
	require.True(t, table.put(bloom.Hash{Hi: 1 << 63, Lo: 7}, 5), "other pages have room")
	table.release()
	require.Zero(t, pool.bytes())
}

// TestPoolReusesPages: a page comes back empty, and slabs are taken only when no page is left.
func TestPoolReusesPages(t *testing.T) {
	pool := newTableMemory()
	a := newPage(pool)
	a.fill(0, slot{1, 2, 3})
	a.depth = 4
	pool.put(a)
	b := newPage(pool)
	require.Same(t, a, b)
	requireEmpty(t, b)
	seen := map[*page]bool{b: true}
	for range 3 * firstSlab {
		g := newPage(pool)
		require.False(t, seen[g], "a page was handed out twice")
		requireEmpty(t, g)
		g.fill(0, slot{1, 2, 3})
		seen[g] = true
	}
	require.Equal(t, int64(len(seen))*pageBytes, pool.bytes())
	for g := range seen {
		pool.put(g)
	}
	require.Zero(t, pool.bytes())
	for range len(seen) {
		require.True(t, seen[newPage(pool)], "a new page while old ones are free")
	}
}

func requireEmpty(t require.TestingT, g *page) {
	require.Zero(t, g.n)
	require.Zero(t, g.depth)
	for range g.filled {
		require.Fail(t, "a slot is in use")
	}
}

// TestPageLayout: tags are whole lines, slots begin on one.
func TestPageLayout(t *testing.T) {
	g := newPage(newTableMemory())
	require.Zero(t, pageBytes%64)
	require.Zero(t, uintptr(unsafe.Pointer(g))%64)
	require.Zero(t, unsafe.Offsetof(g.slots)%64)
}

// TestMatches holds the word-wide comparison against a loop over bytes: every byte that is equal is marked, and no other one below
// the first of them.
func TestMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var word uint64
		for i := range 8 {
			b := rapid.SampledFrom([]uint64{0, 0x80, 0x81, 0xfe, 0xff}).Draw(t, "byte")
			word |= b << (8 * i)
		}
		tag := rapid.SampledFrom([]uint64{0x80, 0x81, 0xfe, 0xff}).Draw(t, "tag")
		m := matches(word, tag)
		require.Zero(t, m&^highBits)
		equal := false
		for i := range 8 {
			marked := m>>(8*i+7)&1 == 1
			if word>>(8*i)&0xff == tag {
				require.True(t, marked)
				equal = true
			} else if !equal {
				require.False(t, marked)
			}
		}
	})
}
