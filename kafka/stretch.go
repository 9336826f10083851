package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// workInStretches is work where copies may have to wait for originals in other partitions: see afterOriginal. What lies before such
// a copy is handled first. To wait with all of the chunk would make partitions wait in a circle: each may hold, ahead of its copy, the
// original that the other one waits for.
func (h *handling) workInStretches(chunk []*kgo.Record) error {
	whole := h.checker
	defer func() { h.checker = whole }() // its memory is for the next chunk
	from, fromV, v := 0, 0, 0
	stretch := func(to int) error {
		h.keyed, h.recs, h.verdicts = whole.keyed[from:to], whole.recs[fromV:v], whole.verdicts[fromV:v]
		err := h.work(chunk[from:to])
		from, fromV = to, v
		return err
	}
	for i := range chunk {
		if !whole.keyed[i] {
			continue
		}
		if verdict := whole.verdicts[v]; verdict.Elsewhere && h.m.underway(verdict) {
			if i > from {
				if err := stretch(i); err != nil {
					return err
				}
			}
			if err := h.afterOriginal(verdict); err != nil {
				return err
			}
		}
		v++
	}
	return stretch(len(chunk))
}
