package engine

// Coverage says of which offsets of a partition the store knows the marks: of [Low, To), as far as they were taken in.
type Coverage struct {
	Topic     string
	Partition int32
	Low       int64 // the first offset of the oldest bucket that is left
	To        int64 // one more than the last offset taken in
}

// Coverages returns the coverage of all partitions that the store knows marks of, whether they are claimed or not. Like
// Metrics it waits for the batches in flight, partition by partition.
//
// Low is not the Start of Metrics, which stays when the window moves on: who asks here wants to know what is left.
func (e *Engine) Coverages() []Coverage {
	var cs []Coverage
	for _, s := range e.shards() {
		if c, ok := s.coverage(); ok {
			cs = append(cs, c)
		}
	}
	return cs
}

func (s *shard) coverage() (c Coverage, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty || len(s.buckets) == 0 {
		return Coverage{}, false
	}
	low := max(s.start, s.buckets[0].first)
	return Coverage{Topic: s.topic, Partition: s.partition, Low: low, To: s.to}, low < s.to
}
