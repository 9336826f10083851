package e2e

import (
	"regexp"
	"strconv"
)

// moves says which member has taken which partition where, as the members themselves have logged it.
type moves struct {
	resumes map[int32][]resumed // by partition; by member, and in order for each
}

type resumed struct {
	member int
	start  int64 // input offset
}

var resumeLine = regexp.MustCompile(`(?m)^.* msg=resume .*partition=(\d+) start=(\d+) .*$`)

func (c *chaos) moves() *moves {
	v := &moves{resumes: map[int32][]resumed{}}
	for _, m := range c.members {
		for _, life := range m.lives {
			v.add(m.n, life.output())
		}
	}
	return v
}

// owners counts those that had a partition, for all partitions together.
func (v *moves) owners() (n int) {
	for _, all := range v.resumes {
		for i, r := range all {
			if i == 0 || r.member != all[i-1].member {
				n++
			}
		}
	}
	return n
}

func (v *moves) add(member int, log string) {
	for _, found := range resumeLine.FindAllStringSubmatch(log, -1) {
		partition, _ := strconv.ParseInt(found[1], 10, 32) // digits
		start, _ := strconv.ParseInt(found[2], 10, 64)
		v.resumes[int32(partition)] = append(v.resumes[int32(partition)], resumed{member, start})
	}
}
