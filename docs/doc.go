// Package docs holds the documents of the project, for users and for who carries on the work. It has no code; its tests
// keep the documents true:
//
//	format_test.go      every dump in format.md is what the code writes; every constant there is the code's
//	operations_test.go  settings, metrics and error messages in operations.md are those of the command, all of them
//	semantics_test.go   the worked example in semantics.md is what the engine says
//	sizing_test.go      bytes a key in operations.md are what a store takes
//	stamping_test.go    the files in stamping.md are those of examples, and the id worked out there is the package's
//	example_test.go     the library example in README.md compiles and runs
//	links_test.go       every relative link and anchor in README.md and docs resolves, and no local path has slipped in
//
//	README.md            what it is, what it promises, how to begin
//	docs/architecture.md the map of the code
//	docs/semantics.md    the rule
//	docs/format.md       every byte on disk
//	docs/operations.md   running it
//	docs/kafka.md        the library on Kafka
//	docs/guarantees.md   each failure and each form: what is lost, repeated, reordered
//	docs/stamping.md     ids made at the producer, in any language
//	docs/decisions/      why it is as it is
//
// go test ./docs -run TestFormat -update writes the dumps anew: for a new format version, and only then.
package docs
