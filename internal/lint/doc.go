// Package lint holds the project's style as tests, so that a rule is broken in a test run and not in a review.
//
//	imports_test.go   who may import whom (the arrows of the architecture)
//	size_test.go      functions of at most 70 lines, files of about 400
//	docs_test.go      every package has doc.go, every exported name its comment
//	words_test.go     comments that promise work instead of explaining it
//
// It has no code of its own.
package lint
