package cell

import "fmt"

// MismatchError says that a peer has found another number of duplicates in a batch than there are. Its figures are worth nothing.
type MismatchError struct {
	Peer, Workload string
	Partition      int
	Want, Got      int
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s on %s: %d duplicates in a batch of partition %d, not %d: its verdicts are wrong",
		e.Peer, e.Workload, e.Got, e.Partition, e.Want)
}

// UnknownError says that there is no workload of that name.
type UnknownError struct{ Workload string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no workload is called %q; noecho-bench run --list shows all", e.Workload)
}
