package kafka

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/bloom"
	"noecho/engine"
)

func samplePack() pack {
	return pack{hashID: 0x0102030405060708, topic: topicID{15: 9}, input: "in", group: "g", part: 3, from: 100, to: 300, before: 1000, time: 1200,
		marks: []told{
			{Mark: engine.Mark{Hash: bloom.Hash{Hi: 1, Lo: 2}, Offset: 100, First: 100, Time: 1100}},
			{Mark: engine.Mark{Hash: bloom.Hash{Hi: 1, Lo: 2}, Offset: 250, First: 250, Time: 1100}, forgotten: true},
			{Mark: engine.Mark{Hash: bloom.Hash{Hi: 3, Lo: 4}, Offset: 250, First: 249, Time: 1200}},
		}}
}

// TestPackFormat: these bytes lie in topics, and every later version must read them.
func TestPackFormat(t *testing.T) {
	p := samplePack()
	got := appendPack(nil, &p)
	require.Equal(t, "6e63"+"01"+"0807060504030201"+"00000000000000000000000000000009"+"02"+"696e"+"01"+"67"+"03"+"64"+"c801"+"e807"+"b009"+"03"+
		"00"+"c801"+"01000000000000000200000000000000"+
		"d904"+"00"+"01000000000000000200000000000000"+
		"02"+"c801"+"01"+"03000000000000000400000000000000", hex.EncodeToString(got[:len(got)-4]))
	var back pack
	require.NoError(t, back.decode(got))
	require.Equal(t, p, back)
}

// TestPackDamaged: whatever bit is turned, and wherever it is cut, it is said, and nothing is taken for marks.
func TestPackDamaged(t *testing.T) {
	p := samplePack()
	good := appendPack(nil, &p)
	var damaged *PackError
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << (i % 8)
		require.ErrorAs(t, new(pack).decode(bad), &damaged)
		require.ErrorAs(t, new(pack).decode(good[:i]), &damaged)
	}
}

func drawPack(t *rapid.T) pack {
	p := samplePack()
	p.marks = nil
	p.from = rapid.Int64Range(0, 1<<50).Draw(t, "from")
	p.before = rapid.Int64Range(0, 1<<42).Draw(t, "before")
	at := p.from
	for range rapid.IntRange(0, 200).Draw(t, "n") {
		m := told{Mark: engine.Mark{Offset: at, First: at, Time: rapid.Int64Range(0, 1<<42).Draw(t, "time"), Hash: bloom.Hash{Hi: rapid.Uint64().Draw(t, "hi"), Lo: 5}}}
		switch kind := rapid.IntRange(0, 2).Draw(t, "kind"); {
		case kind == kindForgotten:
			m.forgotten = true
		case kind == kindCopy && at > 0:
			m.First = rapid.Int64Range(0, at-1).Draw(t, "first")
		}
		if !m.forgotten {
			at++
		}
		at += rapid.Int64Range(0, 1000).Draw(t, "gap")
		p.marks = append(p.marks, m)
	}
	p.to = at + 1
	return p
}

// TestPackParts: parts follow on each other, are small enough, and hold together what the whole does.
func TestPackParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPack(t)
		limit := rapid.IntRange(200, 4000).Draw(t, "limit")
		next, before := p.from, p.before
		var got []told
		p.eachPart(limit, func(part *pack) {
			raw := appendPack(nil, part)
			require.LessOrEqual(t, len(raw), max(limit, 300))
			var back pack
			require.NoError(t, back.decode(raw))
			require.Equal(t, next, back.from)
			require.Equal(t, before, back.before)
			next, before = back.to, max(back.before, back.time)
			got = append(got, back.marks...)
		})
		require.Equal(t, p.to, next)
		require.Equal(t, p.marks, got)
	})
}

// FuzzPack: what decodes is in order; what does not is a *PackError.
func FuzzPack(f *testing.F) {
	p := samplePack()
	good := appendPack(nil, &p)
	f.Add(good[:len(good)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		var p pack
		if err := p.decode(sealPack(append([]byte(nil), body...), 0)); err != nil {
			var damaged *PackError
			require.ErrorAs(t, err, &damaged)
			return
		}
		require.LessOrEqual(t, p.from, p.to)
		last := int64(-1)
		for _, m := range p.marks {
			require.GreaterOrEqual(t, m.Offset, last)
			require.GreaterOrEqual(t, m.Time, int64(0))
			last = m.Offset
		}
	})
}
