package bloom

import "runtime"

// Clearing a plane is AND over every slot: 400 MB of slots are some 100 ms of memory traffic. In one go that would stall the
// partition's checks, and beside them, in a goroutine, every byte would need an atomic AND, in Add too. So the owner does it in steps, with
// a cursor a layer and plane: blocks below the cursor are clean, blocks above may still report the plane.
//
// What may come between the steps:
//   - Test: reads stale bits of the plane above the cursor. False positives at worst.
//   - Add to another plane: its own bit of the slots; the steps only ever AND with the plane's bit off.
//   - Add to the plane itself: above the cursor a later step would wipe the new key, a false negative. It cancels the
//     clearing (cursors to 0), so that only a ClearSome after it, the caller's will, can wipe it.
//   - layers moving, going, coming: the cursors live in the layers.

func (f *sliced) ClearSome(plane, maxBytes int) (done bool) {
	bit := Mask(1) << (uint(plane) % Planes)
	if g := f.gathering; g != nil && g.plane == plane {
		f.gatherAbandon()
	}
	f.dropNarrow(plane)
	f.prune(bit) // a layer of this plane alone goes whole
	budget := max(maxBytes/blockSlots, 1)
	for i := range f.layers {
		l := &f.layers[i]
		if l.adds[plane] == 0 {
			continue
		}
		budget -= l.clearSome(plane, budget)
		if l.adds[plane] != 0 {
			f.clearing |= bit
			return false
		}
	}
	f.clearing &^= bit
	runtime.KeepAlive(f)
	return true
}

// clearSome clears at most budget blocks and returns how many it did. After the last one the plane has no adds here.
func (l *layer) clearSome(plane, budget int) int {
	from := l.cleared[plane]
	to := min(from+budget, len(l.blocks))
	keep := ^(Mask(1) << plane)
	for i := from; i < to; i++ {
		l.blocks[i].keep(keep)
	}
	l.cleared[plane] = to
	if to == len(l.blocks) {
		l.adds[plane], l.cleared[plane] = 0, 0
		l.spare &= keep
	}
	return to - from
}

// cancelClear forgets how far the clearing of plane came.
func (f *sliced) cancelClear(plane int) {
	bit := Mask(1) << plane
	if f.clearing&bit == 0 {
		return
	}
	f.clearing &^= bit
	for i := range f.layers {
		f.layers[i].cleared[plane] = 0
	}
}
