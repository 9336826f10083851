package lint

import (
	"regexp"
	"testing"
)

// promises are words of work that was put off. What is not done is an issue, not a comment.
var promises = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b`)

func TestNoPromises(t *testing.T) {
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if word := promises.FindString(c.Text); word != "" {
					t.Errorf("%s: %s in a comment: do it, or file it", s.set.Position(c.Pos()), word)
				}
			}
		}
	}
}
