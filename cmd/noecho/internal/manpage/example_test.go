package manpage_test

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"noecho/cmd/noecho/internal/manpage"
)

func Example() {
	page := manpage.Page(&cobra.Command{Use: "noecho", Short: "A topic without duplicates"})
	fmt.Println(strings.Split(string(page), "\n")[2])
	// Output: noecho \- A topic without duplicates
}
