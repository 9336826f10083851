package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Shower shows the steps of a run. Safe for concurrent use.
type Shower struct {
	mu    sync.Mutex
	out   io.Writer
	fancy bool
	every time.Duration
	begin time.Time

	bar   *progressbar.ProgressBar
	title string
	last  time.Time
}

// New shows on f, which is a terminal or not.
func New(f *os.File) *Shower {
	return &Shower{out: f, fancy: term.IsTerminal(int(f.Fd())), every: 5 * time.Second, begin: time.Now()}
}

// Step begins a step; the one before is over.
func (s *Shower) Step(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
	s.title, s.last = fmt.Sprintf(format, args...), time.Now()
	if !s.fancy {
		s.line("")
		return
	}
	s.bar = progressbar.NewOptions(1000, progressbar.OptionSetWriter(s.out), progressbar.OptionSetDescription(s.title),
		progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(true))
	_ = s.bar.RenderBlank()
}

// Set shows how far the step is, 0 to 1, and a word about it.
func (s *Shower) Set(done float64, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		s.bar.Describe(strings.TrimSpace(s.title + "  " + note))
		_ = s.bar.Set(int(min(max(done, 0), 0.999) * 1000)) // 1000 would end it
		return
	}
	if time.Since(s.last) >= s.every {
		s.last = time.Now()
		s.line(fmt.Sprintf("  %3.0f %%  %s", done*100, note))
	}
}

// Done ends the last step.
func (s *Shower) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
}

func (s *Shower) finish() {
	if s.bar != nil {
		_ = s.bar.Clear()
		s.bar = nil
	}
}

func (s *Shower) line(rest string) {
	fmt.Fprintf(s.out, "%s  %s%s\n", clock(time.Since(s.begin)), s.title, rest)
}

// clock gives minutes and seconds.
func clock(d time.Duration) string {
	return fmt.Sprintf("%2d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
