package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tooLarge says whether the broker refused a batch for its size. Nothing of it was stored.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// split returns the two halves of a batch that the output refused as too large (max.message.bytes was lowered, or could not be
// read), with the same sequence numbers record for record, so that the batches behind it keep theirs. That leaves no hole:
// nothing of the batch was stored, and nothing behind it was sent. The batch is decoded again; keeping its records for a
// case this rare would cost every other batch its memory.
func (b *batch) split(source builder) ([]*batch, error) {
	var raw kmsg.RecordBatch
	if err := raw.ReadFrom(b.wire); err != nil {
		return nil, fmt.Errorf("decode a batch of our own: %w", err)
	}
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches = b.wire
	decoded, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &rp, kgo.DefaultDecompressor(), nil)
	if decoded.Err != nil || len(decoded.Records) != b.records {
		return nil, fmt.Errorf("decode a batch of our own: %d of %d records: %w", len(decoded.Records), b.records, errors.Join(decoded.Err, errBadSplit))
	}
	half := builder{prefix: source.prefix, compressor: source.compressor, transactional: source.transactional}
	parts := make([]*batch, 0, 2)
	from := 0
	for _, to := range []int{b.records / 2, b.records} {
		for _, r := range decoded.Records[from:to] {
			offset, ok := sourceOf(string(source.prefix), r)
			if !ok {
				return nil, errBadSplit
			}
			r.Offset, r.Headers = offset, r.Headers[:len(r.Headers)-1] // append puts the source header back
			half.append(r, nil)                                        // evidence is among the headers already
		}
		sequence := (raw.FirstSequence + int32(from)) & 0x7fffffff
		part := half.seal(raw.ProducerID, raw.ProducerEpoch, sequence)
		part.out = b.out
		parts = append(parts, part)
		from = to
	}
	return parts, nil
}

var errBadSplit = errors.New("it does not hold what was put in")

// split replaces the first pending batch, which the broker has refused as too large, by its halves, and makes the next
// batches smaller. Called by the producer; the lane sends nothing meanwhile.
func (w *worker) split(b *batch) ([]*batch, error) {
	parts, err := b.split(w.r.newBuilder(w.part))
	if err != nil {
		return nil, err
	}
	limit := w.r.batchLimit.Load()
	w.r.batchLimit.CompareAndSwap(limit, max(limit/2, min(limit, smallestBatch)))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(parts, w.pending[1:]...)
	return parts, nil
}

const smallestBatch = 16 << 10 // not made smaller by refusals: only what is refused is split
