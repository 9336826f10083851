package child

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type square struct{ N int }

var kinds = map[string]Func{
	"square": Handler(func(_ context.Context, s square, tell func(Progress)) (square, error) {
		tell(Progress{Done: 0.5, Note: "half"})
		return square{s.N * s.N}, nil
	}),
	"fail":  func(context.Context, json.RawMessage, func(Progress)) (any, error) { return nil, errors.New("no disk") },
	"panic": func(context.Context, json.RawMessage, func(Progress)) (any, error) { panic("a bug") },
	"sleep": func(_ context.Context, _ json.RawMessage, tell func(Progress)) (any, error) {
		tell(Progress{Value: 1})
		time.Sleep(time.Minute)
		return nil, nil
	},
}

// TestMain is also the child: Run starts the test binary with the hidden command.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == Command {
		if err := Serve(context.Background(), kinds[os.Args[2]], os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	var got square
	var told []Progress
	require.NoError(t, Run(t.Context(), "square", square{7}, &got, func(_ *Process, p Progress) { told = append(told, p) }))
	require.Equal(t, 49, got.N)
	require.Equal(t, []Progress{{Done: 0.5, Note: "half"}}, told)
}

func TestRunTellsWhatWentWrong(t *testing.T) {
	require.EqualError(t, Run(t.Context(), "fail", 1, nil, nil), "no disk")
	require.ErrorContains(t, Run(t.Context(), "panic", 1, nil, nil), "a bug")
}

func TestKill(t *testing.T) {
	err := Run(t.Context(), "sleep", 1, nil, func(p *Process, _ Progress) { require.NoError(t, p.Kill()) })
	require.ErrorIs(t, err, ErrKilled)
	ctx, cancel := context.WithCancel(t.Context())
	err = Run(ctx, "sleep", 1, nil, func(*Process, Progress) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
}
