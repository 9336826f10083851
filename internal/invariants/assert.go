package invariants

import "fmt"

// Assert panics with msg, formatted with args as by fmt.Sprintf, when cond is
// false and Enabled is true. It must never guard against anything that can
// happen in a correct program.
func Assert(cond bool, msg string, args ...any) {
	if Enabled && !cond {
		panic("BUG: " + fmt.Sprintf(msg, args...))
	}
}
