package bloom

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomHashes(n int, seed uint64) []Hash {
	rng := rand.New(rand.NewPCG(seed, 5))
	hs := make([]Hash, n)
	for i := range hs {
		hs[i] = Hash{Hi: rng.Uint64(), Lo: rng.Uint64()}
	}
	return hs
}

// savePlane takes a plane out of f as a file.
func savePlane(t *testing.T, f Planar, plane int, tag string) []byte {
	t.Helper()
	shape, ok := f.Whole(plane)
	require.True(t, ok)
	var file bytes.Buffer
	at, buf := 0, make([]byte, 7*PlaneBlockBytes)
	require.NoError(t, SavePlane(&file, shape, []byte(tag), func() ([]byte, error) {
		n := f.Extract(plane, at, buf)
		at += n
		return buf[:n*PlaneBlockBytes], nil
	}))
	return file.Bytes()
}

// loadPlane puts it into the plane of a filter, a new one unless f is given.
func loadPlane(file []byte, f Planar, plane int) (Planar, error) {
	r, err := ReadPlane(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = NewShaped(Options{BitsPerKey: 13}, r.Shape)
	}
	f.Restore(plane, r.Shape)
	return f, r.Each(func(from int, bits []byte) error {
		f.Inject(plane, r.Shape, from, bits)
		return nil
	})
}

// TestPlane: planes that were taken out of one filter and put into another, whichever they are there, answer as before, and
// clear as any.
func TestPlane(t *testing.T) {
	const n = 5000
	f := NewSliced(Options{BitsPerKey: 13, MinKeys: n}).(Planar)
	sets := make([][]Hash, Planes)
	for p := range sets {
		sets[p] = randomHashes(n-p, uint64(p))
		for _, h := range sets[p] {
			f.Add(h, p)
		}
	}
	var g Planar
	for p := range sets {
		var err error
		g, err = loadPlane(savePlane(t, f, p, "tag"), g, (p+3)%Planes)
		require.NoError(t, err)
	}
	for p, hs := range sets {
		q := (p + 3) % Planes
		require.EqualValues(t, n-p, g.Count(q))
		for _, h := range hs {
			require.True(t, g.Test(h).Has(q))
		}
	}
	for _, h := range randomHashes(20_000, 99) { // bit by bit the same, so the errors are, too
		want := f.Test(h)
		require.Equal(t, Mask(byte(want)<<3|byte(want)>>5), g.Test(h))
	}
	for !g.ClearSome(4, 1000) {
	}
	for _, h := range sets[1] {
		require.False(t, g.Test(h).Has(4))
	}
	for _, h := range sets[2] {
		require.True(t, g.Test(h).Has(5))
	}
	more := randomHashes(n, 100)
	for _, h := range more {
		g.Add(h, 4)
	}
	for _, h := range more {
		require.True(t, g.Test(h).Has(4))
	}
}

// TestPlanesOfSeveralShapes: each goes into a layer of its own shape, as it was.
func TestPlanesOfSeveralShapes(t *testing.T) {
	var g Planar
	sets := make([][]Hash, 3)
	for p, n := range []int{1000, 3000, 1000} {
		f := NewSliced(Options{BitsPerKey: 13, MinKeys: uint64(n)}).(Planar)
		sets[p] = randomHashes(n, uint64(p))
		for _, h := range sets[p] {
			f.Add(h, 0)
		}
		var err error
		g, err = loadPlane(savePlane(t, f, 0, ""), g, p)
		require.NoError(t, err)
	}
	require.Len(t, g.(*sliced).layers, 2)
	for p, hs := range sets {
		require.EqualValues(t, len(hs), g.Count(p))
		for _, h := range hs {
			require.True(t, g.Test(h).Has(p))
		}
	}
	for p := range sets {
		for !g.ClearSome(p, 1<<20) {
		}
	}
	for _, h := range sets[1] {
		require.Zero(t, g.Test(h))
	}
	require.Len(t, g.(*sliced).layers, 1)
}

// TestPlaneNotWhole: a plane in several layers, one being cleared or gathered, and an empty one cannot be taken out.
func TestPlaneNotWhole(t *testing.T) {
	f := NewSliced(Options{BitsPerKey: 13, MinKeys: 1000}).(Planar)
	whole := func(p int) bool { _, ok := f.Whole(p); return ok }
	require.False(t, whole(0), "empty")
	for _, h := range randomHashes(500, 1) {
		f.Add(h, 0)
		f.Add(h, 1)
	}
	require.True(t, whole(0))
	for _, h := range randomHashes(1000, 2) {
		f.Add(h, 0) // into a narrow layer
	}
	require.False(t, whole(0), "in a narrow layer, too")
	require.True(t, whole(1))
	require.False(t, f.ClearSome(1, 1))
	require.False(t, whole(1), "being cleared")
	f.Add(Hash{1, 2}, 1)
	f.Open(2, 100_000)
	require.False(t, whole(1), "in an older layer")
	require.True(t, f.GatherBegin(1))
	require.False(t, whole(1), "being gathered")
}

// TestPlaneFileTrustsNothing: damage anywhere, and a file that ends too early, is an error.
func TestPlaneFileTrustsNothing(t *testing.T) {
	f := NewSliced(Options{BitsPerKey: 13, MinKeys: 50}).(Planar)
	for _, h := range randomHashes(50, 1) {
		f.Add(h, 0)
	}
	file := savePlane(t, f, 0, "of bucket 7")
	r, err := ReadPlane(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	require.Equal(t, "of bucket 7", string(r.Tag))
	var corrupt *CorruptError
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		_, err := loadPlane(bad, nil, 0)
		require.ErrorAs(t, err, &corrupt, "byte %d", i)
		_, err = loadPlane(file[:i], nil, 0)
		require.ErrorAs(t, err, &corrupt, "%d bytes", i)
	}
	_, err = loadPlane(append(bytes.Clone(file), 0), nil, 0)
	require.ErrorAs(t, err, &corrupt)
}

// TestPlaneGolden: the format, and which slots a key has, are a promise.
func TestPlaneGolden(t *testing.T) {
	f := NewSliced(Options{BitsPerKey: 13, MinKeys: 20}).(Planar)
	hs := randomHashes(20, 7)
	for _, h := range hs {
		f.Add(h, 5)
	}
	const path = "testdata/plane.v1.golden"
	file := savePlane(t, f, 5, "golden")
	if *update {
		require.NoError(t, os.WriteFile(path, file, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, file)
	g, err := loadPlane(want, nil, 2)
	require.NoError(t, err)
	for _, h := range hs {
		require.Equal(t, Mask(1<<2), g.Test(h))
	}
}

// TestSavePlaneErrors: of the writer, of the caller, and of a caller who gives too much.
func TestSavePlaneErrors(t *testing.T) {
	shape := PlaneShape{Blocks: 4, Capacity: 70, Keys: 3}
	broken := errors.New("broken")
	piece := make([]byte, 2*PlaneBlockBytes)
	give := func(p []byte, err error) func() ([]byte, error) { return func() ([]byte, error) { return p, err } }
	require.ErrorIs(t, SavePlane(io.Discard, shape, nil, give(nil, broken)), broken)
	require.Error(t, SavePlane(io.Discard, shape, nil, give(make([]byte, 5*PlaneBlockBytes), nil)))
	require.Error(t, SavePlane(io.Discard, shape, nil, give(nil, nil)))
	require.NoError(t, SavePlane(io.Discard, shape, nil, give(piece, nil)))
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(broken))
	require.ErrorIs(t, SavePlane(w, shape, nil, give(piece, nil)), broken)
}

func FuzzReadPlane(f *testing.F) {
	s := NewSliced(Options{BitsPerKey: 13, MinKeys: 20}).(Planar)
	for _, h := range randomHashes(20, 1) {
		s.Add(h, 3)
	}
	shape, _ := s.Whole(3)
	var file bytes.Buffer
	buf := make([]byte, shape.Blocks*PlaneBlockBytes)
	s.Extract(3, 0, buf)
	if err := SavePlane(&file, shape, []byte("tag"), func() ([]byte, error) { return buf, nil }); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := loadPlane(b, nil, 1); err == nil {
			require.Positive(t, g.Count(1))
		}
	})
}
