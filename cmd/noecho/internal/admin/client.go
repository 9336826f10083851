package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	clientTimeout = 10 * time.Second
	answerBytes   = 16 << 20 // of a status: some 100 bytes a partition
)

// Client asks a running noecho.
type Client struct {
	addr string
	http *http.Client
}

// NewClient returns a client of the server at addr, host:port. It takes no proxy: what is asked is on this machine, or nearly.
func NewClient(addr string) *Client {
	return &Client{addr: addr, http: &http.Client{
		Timeout:       clientTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// UnreachableError says that nobody answered at the address.
type UnreachableError struct {
	Addr string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no admin endpoint answers at %s (%v): is noecho running there, with --admin-addr? name another with --addr", e.Addr, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError says that noecho would not.
type RefusedError struct {
	Code   int // of HTTP
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("noecho refused it: %s", e.Reason) }

// errNotOurs: somebody else listens there.
var errNotOurs = errors.New("what answers there is no admin endpoint of noecho; is it the port of --metrics-addr?")

// Status asks for the status. raw is the answer as it came.
func (c *Client) Status(ctx context.Context) (s Status, raw []byte, err error) {
	raw, err = c.do(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, raw, err
}

// SetMode changes the mode.
func (c *Client) SetMode(ctx context.Context, mode string) (changed Changed, raw []byte, err error) {
	body, err := json.Marshal(&Change{Mode: mode})
	if err != nil {
		return Changed{}, nil, fmt.Errorf("encode the request: %w", err)
	}
	raw, err = c.do(ctx, http.MethodPut, "/v1/mode", body, &changed)
	return changed, raw, err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, &UnreachableError{c.addr, err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &UnreachableError{c.addr, err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return nil, &UnreachableError{c.addr, err}
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(raw, &f) != nil || f.Error == "" {
			return nil, fmt.Errorf("%s: %w (it says %s)", c.addr, errNotOurs, resp.Status)
		}
		return nil, &RefusedError{resp.StatusCode, f.Error}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, fmt.Errorf("%s: %w (%w)", c.addr, errNotOurs, err)
	}
	return raw, nil
}
