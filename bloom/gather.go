package bloom

import (
	"runtime"
	"slices"
)

// Gathering: all keys of a plane are brought into the active layer, and the other layers with nothing else in them go. The keys come from
// the caller, who has them in the index: a Bloom filter cannot be read.
//
// It is for a plane to which nothing is added any more. Until the end the keys are in both places, so that whatever happens
// on the way, nothing is lost: a gathering that is given up costs some bits that are set for nothing. It is given up as soon as another layer
// is active: that one may get keys of the plane, which the end would count as gathered, were the first one active again by then.

// gathering is one under way.
type gathering struct {
	plane int
	into  *block // the first of the active layer, by which gatherAbandon finds it when it is not active any more
	keys  uint64 // that the active layer will have more
}

func (f *sliced) GatherBegin(plane int) bool {
	f.gatherAbandon()
	l := f.active()
	keys := f.Count(plane) - l.adds[plane] // the active layer has no spare planes
	if keys == 0 || keys > l.room(plane) || f.clearing.Has(plane) {
		return false
	}
	f.gathering = &gathering{plane: plane, into: &l.blocks[0], keys: keys}
	return true
}

func (f *sliced) GatherAdd(hs []Hash) bool {
	g := f.gathering
	if g == nil {
		return false
	}
	l := f.active()
	bit := byte(1) << g.plane
	for _, h := range hs {
		l.block(h).add(h.Lo, bit)
	}
	runtime.KeepAlive(f)
	return true
}

func (f *sliced) GatherEnd(complete bool) {
	g := f.gathering
	if !complete || g == nil {
		f.gatherAbandon()
		return
	}
	f.gathering = nil
	l := f.active()
	bit := Mask(1) << g.plane
	f.dropNarrow(g.plane)
	for i := range f.layers[:len(f.layers)-1] {
		f.layers[i].spare |= bit & f.layers[i].planes()
	}
	l.adds[g.plane] = min(l.adds[g.plane]+g.keys, l.capacity)
	f.prune(0)
}

// gatherAbandon forgets a gathering. The bits it has set must not be in a layer without adds of their plane, or they would never be cleared.
func (f *sliced) gatherAbandon() {
	g := f.gathering
	f.gathering = nil
	if g == nil {
		return
	}
	for i := range f.layers {
		if l := &f.layers[i]; &l.blocks[0] == g.into {
			l.adds[g.plane] = max(l.adds[g.plane], 1)
		}
	}
}

// dropNarrow lets go of the plane's narrow layers.
func (f *sliced) dropNarrow(plane int) {
	f.narrow = slices.DeleteFunc(f.narrow, func(l narrow) bool { return l.plane == plane })
	f.narrowed &^= 1 << plane
}
