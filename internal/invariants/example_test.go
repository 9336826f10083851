package invariants_test

import (
	"fmt"

	"noecho/internal/invariants"
)

func ExampleAssert() {
	low, high := 1, 2
	if invariants.Enabled {
		invariants.Assert(low < high, "window is empty: %d >= %d", low, high)
	}
	fmt.Println("the window is not empty")
	// Output: the window is not empty
}
