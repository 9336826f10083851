package stamp

import "fmt"

// FieldsError says which part of Options.Fields is wrong.
type FieldsError struct {
	Fields, Part string
	Reason       string
}

func (e *FieldsError) Error() string {
	return fmt.Sprintf("stamp: fields %q: part %q: %s; fields are one or more of payload, key, value, json:PATH, joined with +", e.Fields, e.Part, e.Reason)
}

// MissingError says that a record lacks a part of its identity. It was not stamped: an id without that part would be
// shared by all the records that lack it, and all but the first would be dropped.
type MissingError struct {
	Topic string
	Part  string // of Options.Fields
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("stamp: a record for topic %q has no %s, so it was not stamped; fill that in, choose other fields, or send it without an id (copies of it pass)", e.Topic, e.Part)
}
