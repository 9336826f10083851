package kafka

import "math"

// places is the cheapest balanced assignment of partitions to members: each member gets the same number of
// partitions, or one more, and of all the ways to do that, one for which the sum of the costs is least.
//
// The naive way gives each partition to the cheapest member that has room. It fails where the last ones find room only where
// they are dear, although an earlier one could have moved over at no cost. So we start with every partition at its cheapest
// member, without a thought for balance, and move what is too much along the cheapest chain of moves (A gives a
// partition to B, B another one to C) until all is balanced. That is the method of successive shortest paths: it ends at
// the least sum. Where nothing has to move, and that is nearly always, it costs one look at each pair.
//
// It is deterministic: of equals, the lower number.
type places struct {
	n, m int
	cost []int64 // of partition p at member i: cost[p*m+i]
	at   []int   // the member that has partition p
	load []int   // partitions that member i has
	// step[i*m+j] is the cheapest move from i to j and via the partition that moves; math.MaxInt64 where i has none.
	step []int64
	via  []int
}

// place returns the member of each of n partitions.
func place(n, m int, cost []int64) []int {
	p := &places{n: n, m: m, cost: cost, at: make([]int, n), load: make([]int, m), step: make([]int64, m*m), via: make([]int, m*m)}
	for part := range n {
		best := 0
		for i := 1; i < m; i++ {
			a, b := cost[part*m+i], cost[part*m+best]
			if a < b || a == b && p.load[i] < p.load[best] {
				best = i
			}
		}
		p.at[part] = best
		p.load[best]++
	}
	for i := range m {
		p.look(i)
	}
	low := n / m
	high := (n + m - 1) / m
	for p.move(high, func(load int) bool { return load < high }) {
	}
	for p.move(low, func(load int) bool { return load < low }) {
	}
	return p.at
}

// look fills in the steps from member i.
func (p *places) look(i int) {
	row, via := p.step[i*p.m:(i+1)*p.m], p.via[i*p.m:(i+1)*p.m]
	for j := range row {
		row[j] = math.MaxInt64
	}
	for part, at := range p.at {
		if at != i {
			continue
		}
		costs := p.cost[part*p.m : (part+1)*p.m]
		for j, c := range costs {
			if j != i && c-costs[i] < row[j] {
				row[j], via[j] = c-costs[i], part
			}
		}
	}
}

// move takes one partition, by the cheapest chain, from a member that has more than the given number to one that lacks
// some. It says whether there were two such members.
func (p *places) move(most int, lacks func(load int) bool) bool {
	dist, prev := make([]int64, p.m), make([]int, p.m)
	rich := false
	for i, load := range p.load {
		prev[i] = -1
		if dist[i] = math.MaxInt64; load > most {
			dist[i], rich = 0, true
		}
	}
	if !rich {
		return false
	}
	// A chain may lower the sum (a step back undoes an earlier one), but no circle does: so this ends.
	for changed := true; changed; {
		changed = false
		for i := range p.m {
			if dist[i] == math.MaxInt64 {
				continue
			}
			for j := range p.m {
				if s := p.step[i*p.m+j]; j != i && s != math.MaxInt64 && dist[i]+s < dist[j] {
					dist[j], prev[j], changed = dist[i]+s, i, true
				}
			}
		}
	}
	to := -1
	for i, load := range p.load {
		if lacks(load) && dist[i] != math.MaxInt64 && (to < 0 || dist[i] < dist[to]) {
			to = i
		}
	}
	if to < 0 {
		return false
	}
	p.load[to]++
	chain := []int{to}
	for j := to; prev[j] >= 0; j = prev[j] {
		p.at[p.via[prev[j]*p.m+j]] = j
		chain = append(chain, prev[j])
	}
	p.load[chain[len(chain)-1]]--
	for _, i := range chain {
		p.look(i)
	}
	return true
}
