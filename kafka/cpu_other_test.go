//go:build !unix

package kafka

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
