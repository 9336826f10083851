package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

var errInjected = errors.New("injected")

// TestErrorAtEveryOperation fails the n-th operation on the file system, for n = 1, 2, 3 ... until the story runs
// through: once only, and from then on. Nothing may panic or hang, the error must surface or be harmless, and what was
// acknowledged must be found by the next open, after a crash that loses everything that was not synced.
func TestErrorAtEveryOperation(t *testing.T) {
	if !inOwnProcess(t) {
		return
	}
	for _, persistent := range []bool{false, true} {
		name := "once"
		if persistent {
			name = "persistent"
		}
		t.Run(name, func(t *testing.T) {
			step, surfaced := cloneEvery(t), 0
			for n := 1; ; n += step {
				st := newStory(testutil.NewFS(), engine.FilterSliced)
				fs := st.o.FS.(*testutil.FS)
				hit := false
				fs.OnOp(func(op int, what string) error {
					if op == n || (persistent && op > n) {
						hit = true
						return errInjected
					}
					return nil
				})
				err := st.run(context.Background())
				fs.OnOp(nil)
				if !hit {
					require.NoError(t, err)
					require.Greater(t, n, 100, "the story has fewer operations than thought")
					require.Greater(t, surfaced*step, 50, "hardly any error surfaced")
					return
				}
				// Where nobody noticed (a compaction, tidying up, a segment made ahead) no harm may be done: verified below.
				if err != nil {
					surfaced++
					require.ErrorIs(t, err, errInjected, "operation %d", n)
				}
				st.verify(t, fs.Crash(0, 1), st.acked.Load(), st.named.Load(), "error at an operation")
				if t.Failed() {
					t.Fatalf("operation %d", n)
				}
			}
		})
	}
}
