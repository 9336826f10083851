package bloom

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what every *CorruptError matches.
var ErrCorrupt = errors.New("bloom: filter file is damaged")

// CorruptError says that a filter file can't be used: damaged, cut short, or of a format this build does not read.
// Nothing is lost by it: delete the file and fill a new filter from the index. errors.Is(err, ErrCorrupt) holds.
type CorruptError struct {
	Offset int64  // where in the file it was seen, in bytes
	Reason string // what is wrong there
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v at offset %d: %s (delete it; the filter is rebuilt from the index)", ErrCorrupt, e.Offset, e.Reason)
}

// Is makes the error match ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// KindError says that a filter can't adopt one of another kind: fill a new filter of the wanted kind instead.
type KindError struct{ Have, Want string }

func (e *KindError) Error() string {
	return fmt.Sprintf("bloom: a filter of kind %q can't adopt one of kind %q: fill a new one of kind %q instead", e.Want, e.Have, e.Want)
}
