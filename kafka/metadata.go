package kafka

import (
	"strconv"
	"strings"
)

// metadata travels with every offset that the relay commits, in the field Kafka keeps for the consumer's own use:
//
//	noecho/1 at=<offset> out=<N> [since=<offset>] [topic=<id>] [clean] [rewound] [txn]
//
// It is what makes the recovery of the output's tail exact, and it tells our own offsets from an operator's: the usual
// tools write an empty string there.
type metadata struct {
	// at: the committed offset. There are tools that move an offset and keep its metadata (a copy of a group, a shift by so
	// many records); with another offset the rest says nothing.
	at int64
	// out: every record of the output partition that comes from a source offset at or above the committed one lies at or
	// above this output offset. So a scan from here finds all that may be there already.
	out int64
	// since: below it the group has handled nothing, because it began there (start_at: latest); 0: it may have handled all.
	// So a store that was lost has nothing to learn below: see assignment.unknown.
	since int64
	// topic: the input's id, which a topic that is made again under the same name does not have; zero: not known.
	topic topicID
	// clean: the member stopped with nothing in flight and nothing done above: no late request of a relay can still change the output, no
	// handler has seen more.
	clean bool
	// rewound: an operator has rewound the group, and the relay has not come back to where its marks end. Without it a
	// crash in the middle of a rewind would look like a crash between the engine's commit and Kafka's, and skip the rest.
	rewound bool
	// txn: a transaction put the offset and the output there together: below it all is in the output, above it nothing, whatever the
	// store has made durable since. A version that does not know the word takes the offset for an operator's, which is as right.
	txn bool
}

const metadataTag = "noecho/1"

// String encodes m as above.
func (m metadata) String() string {
	var b strings.Builder
	b.WriteString(metadataTag + " at=")
	b.WriteString(strconv.FormatInt(m.at, 10))
	b.WriteString(" out=")
	b.WriteString(strconv.FormatInt(m.out, 10))
	if m.since > 0 {
		b.WriteString(" since=")
		b.WriteString(strconv.FormatInt(m.since, 10))
	}
	if m.topic != (topicID{}) {
		b.WriteString(" topic=" + m.topic.String())
	}
	if m.clean {
		b.WriteString(" clean")
	}
	if m.rewound {
		b.WriteString(" rewound")
	}
	if m.txn {
		b.WriteString(" txn")
	}
	return b.String()
}

// parseMetadata decodes what String made for the offset that it came with. ok is false for anything else: another tool's,
// another version's, another offset's, damaged. All of these are read as "not ours", and the offset obeyed as an operator's.
func parseMetadata(s string, offset int64) (m metadata, ok bool) {
	rest, ok := strings.CutPrefix(s, metadataTag)
	if !ok {
		return metadata{}, false
	}
	at, rest, okAt := cutNumber(rest, " at=")
	out, rest, okOut := cutNumber(rest, " out=")
	if !okAt || !okOut || at != offset {
		return metadata{}, false
	}
	m.at, m.out = at, out
	if since, after, ok := cutNumber(rest, " since="); ok {
		m.since, rest = since, after
	}
	if after, ok := strings.CutPrefix(rest, " topic="); ok {
		word, more, _ := strings.Cut(after, " ")
		if m.topic, ok = parseTopicID(word); !ok {
			return metadata{}, false
		}
		rest = more
	}
	rest = strings.TrimPrefix(rest, " ")
	rest, m.clean = cutWord(rest, "clean")
	rest, m.rewound = cutWord(rest, "rewound")
	rest, m.txn = cutWord(rest, "txn")
	if rest != "" || m.String() != s {
		return metadata{}, false
	}
	return m, true
}

// cutNumber cuts a name and the number after it off the front.
func cutNumber(s, name string) (n int64, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, name)
	if !ok {
		return 0, "", false
	}
	digits := s
	if end := strings.IndexByte(s, ' '); end >= 0 {
		digits, rest = s[:end], s[end:]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, rest, err == nil && n >= 0
}

func cutWord(s, word string) (rest string, found bool) {
	rest, found = strings.CutPrefix(s, word)
	if !found {
		return s, false
	}
	return strings.TrimPrefix(rest, " "), true
}

// sourceHeader names where a record of the output comes from: topic/partition/offset. A topic's name holds no slash.
const sourceHeader = "noecho-source"

// sourcePrefix is what all source headers of one input partition start with.
func sourcePrefix(topic string, partition int32) string {
	return topic + "/" + strconv.FormatInt(int64(partition), 10) + "/"
}

// parseSource returns the offset of a source header's value if it is of the input partition with that prefix.
func parseSource(prefix string, value []byte) (offset int64, ok bool) {
	if len(value) <= len(prefix) || string(value[:len(prefix)]) != prefix {
		return 0, false
	}
	offset, err := strconv.ParseInt(string(value[len(prefix):]), 10, 64)
	if err != nil || offset < 0 {
		return 0, false
	}
	return offset, true
}
