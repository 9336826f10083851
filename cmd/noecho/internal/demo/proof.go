package demo

// Proof is what comparing the two topics says. It knows nothing of noecho, only order ids.
type Proof struct {
	Orders     int64 // different order ids in the input
	In, Out    int64 // records
	Lost       int64 // ids of the input that the output lacks
	Repeated   int64 // records of the output whose id the output had already
	Unknown    int64 // records of the output whose id the input lacks
	Disordered int64 // records of the output that do not stand where the first copy stands in the input partition
	Example    string
}

// Holds reports whether every order came out exactly once, where it belongs.
func (p Proof) Holds() bool {
	return p.Orders > 0 && p.Lost == 0 && p.Repeated == 0 && p.Unknown == 0 && p.Disordered == 0 && p.Out == p.Orders
}

// Dropped is the number of duplicates that the relay kept from the output.
func (p Proof) Dropped() int64 { return p.In - p.Out }

// prove compares the order ids of the input's partitions with the output's.
//
// The order is compared partition by partition: the output must be the input's first copies, in the input's order. One
// lost order would shift all that follow and count each of them as disordered, so only the ids that both topics have
// are compared, by their first copies.
func prove(in, out [][]string) Proof {
	var p Proof
	copies := map[string]int{} // id -> copies in the output; input ids only
	for _, ids := range in {
		p.In += int64(len(ids))
		for _, id := range ids {
			copies[id] = 0
		}
	}
	p.Orders = int64(len(copies))
	for _, ids := range out {
		p.Out += int64(len(ids))
		for _, id := range ids {
			n, known := copies[id]
			switch {
			case !known:
				p.Unknown++
				p.say("unknown " + id)
				continue
			case n > 0:
				p.Repeated++
				p.say("repeated " + id)
			}
			copies[id] = n + 1
		}
	}
	for id, n := range copies {
		if n == 0 {
			p.Lost++
			p.say("lost " + id)
		}
	}
	for i := range max(len(in), len(out)) {
		p.Disordered += disordered(at(in, i), at(out, i), copies)
	}
	if p.Disordered > 0 {
		p.say("out of order")
	}
	return p
}

// say keeps the first example of what is wrong.
func (p *Proof) say(what string) {
	if p.Example == "" {
		p.Example = what
	}
}

// disordered compares the first copies of one partition. copies tells which ids the output has at all.
func disordered(in, out []string, copies map[string]int) (n int64) {
	want := firsts(in, func(id string) bool { return copies[id] > 0 })
	got := firsts(out, func(id string) bool { return copies[id] > 0 })
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			n++
		}
	}
	return n
}

// firsts returns the first copy of each id that keep wants, in order.
func firsts(ids []string, keep func(string) bool) []string {
	seen := make(map[string]bool, len(ids))
	var first []string
	for _, id := range ids {
		if !seen[id] && keep(id) {
			seen[id] = true
			first = append(first, id)
		}
	}
	return first
}

func at(parts [][]string, i int) []string {
	if i < len(parts) {
		return parts[i]
	}
	return nil
}
