package store

import "fmt"

// VerdictError says that the engine's verdict on a record is not the one the bench knows to be right.
type VerdictError struct {
	Offset    int64
	Got, Want string
}

func (e *VerdictError) Error() string {
	return fmt.Sprintf("the record at offset %d was judged %s, not %s: the store's verdicts are wrong", e.Offset, e.Got, e.Want)
}

// IdleError says that a load that had to be there while something was measured was not there.
type IdleError struct{ What string }

func (e *IdleError) Error() string {
	return fmt.Sprintf("no %s took place during the measurement, so it shows nothing: give it more time", e.What)
}

// SpaceError says that a disk is too small.
type SpaceError struct {
	Dir        string
	Keys       int64
	Need, Free int64
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%d keys need about %.1f GB in %s, where %.1f GB are free: give another directory with --dir, or fewer keys",
		e.Keys, float64(e.Need)/1e9, e.Dir, float64(e.Free)/1e9)
}

// SizeError says that a store in a directory is not the one that was asked for.
type SizeError struct {
	Dir        string
	Have, Want int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("the store in %s has %d records, not the planned %d: remove it, or say --keys %d", e.Dir, e.Have, e.Want, e.Have)
}

// LostError says that a kill has cost what was durable.
type LostError struct{ Durable, Found int64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("offset %d was committed before the kill, and the store knows of %d only: durable marks are lost", e.Durable, e.Found)
}
