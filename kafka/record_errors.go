package kafka

import "fmt"

// RecordErrors is what a handler returns that knows which records of the batch failed: these are tried again, and at last
// given up or stopped at; all others are done.
type RecordErrors struct{ Failed []RecordError }

// RecordError names a record of a batch by its place in Batch.Records, and says why it failed.
type RecordError struct {
	Index int
	Err   error
}

// Add notes that the record at index i failed.
func (e *RecordErrors) Add(i int, err error) { e.Failed = append(e.Failed, RecordError{i, err}) }

// Err returns e, or nil where no record failed.
func (e *RecordErrors) Err() error {
	if len(e.Failed) == 0 {
		return nil
	}
	return e
}

func (e *RecordErrors) Error() string {
	if len(e.Failed) == 0 {
		return "no record failed"
	}
	return fmt.Sprintf("%d records failed, among them %v", len(e.Failed), e.Failed[0])
}

func (e *RecordErrors) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i := range e.Failed {
		errs[i] = e.Failed[i]
	}
	return errs
}

func (e RecordError) Error() string { return fmt.Sprintf("record %d: %v", e.Index, e.Err) }

func (e RecordError) Unwrap() error { return e.Err }
