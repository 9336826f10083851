package demo_test

import (
	"fmt"

	"noecho/cmd/noecho/internal/demo"
)

// What does not fit is refused before anything starts.
func ExampleOptions_Validate() {
	fmt.Println((&demo.Options{Seconds: 20, Rate: 4000}).Validate())
	fmt.Println((&demo.Options{Seconds: 1, Rate: 4000}).Validate())
	fmt.Println((&demo.Options{Seconds: 600, Rate: 50_000}).Validate())
	// Output:
	// <nil>
	// --seconds is 1; choose 3 to 600
	// 600 s of 50000 orders a second do not fit into the demo's memory; choose at most 20,000,000 orders
}
