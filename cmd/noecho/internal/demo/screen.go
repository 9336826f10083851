package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// screen writes the events of the demo and, below them, the frame. On a terminal the frame is one block that stays at
// the bottom and is drawn over; elsewhere it is a line now and then, so that a CI log can be read.
//
// It belongs to one goroutine.
type screen struct {
	w     io.Writer
	color palette
	live  bool       // a terminal
	width func() int // columns now; a window can be resized

	drawn   int           // lines of the frame on the screen
	last    []string      // the frame, to draw again under an event
	plainAt time.Duration // when the next line is due, where there is no terminal
}

// plainEvery is how often a line is written where there is no terminal.
const plainEvery = time.Second

// event writes a line that stays.
func (s *screen) event(at time.Duration, text string) {
	s.print(fmt.Sprintf("%6.1fs  %s", at.Seconds(), text))
}

// print writes lines that stay, above the frame.
func (s *screen) print(lines ...string) {
	var b bytes.Buffer
	s.erase(&b)
	for _, l := range lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	s.redraw(&b)
	_, _ = s.w.Write(b.Bytes())
}

// draw shows the frame.
func (s *screen) draw(f *frame) {
	if !s.live {
		if f.elapsed >= s.plainAt {
			s.plainAt = f.elapsed.Truncate(plainEvery) + plainEvery
			s.event(f.elapsed, f.line())
		}
		return
	}
	var b bytes.Buffer
	s.erase(&b)
	s.last = append([]string{""}, f.lines(s.color)...)
	s.redraw(&b)
	_, _ = s.w.Write(b.Bytes())
}

// settle leaves the frame where it is; what follows goes below.
func (s *screen) settle() { s.drawn, s.last = 0, nil }

// erase moves to the frame's first line and clears from there on.
func (s *screen) erase(b *bytes.Buffer) {
	if s.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", s.drawn)
	}
	s.drawn = 0
}

// redraw writes the frame. A line longer than the window would wrap and take two, so that the next erase would go to
// the wrong place: it is cut.
func (s *screen) redraw(b *bytes.Buffer) {
	width := 0
	if s.live {
		width = s.width()
	}
	for _, l := range s.last {
		b.WriteString(cut(l, width))
		b.WriteByte('\n')
	}
	s.drawn = len(s.last)
}

// cut shortens a line to width columns; escape sequences take none. 0: unknown, as it is.
func cut(line string, width int) string {
	if width <= 0 {
		return line
	}
	columns := 0
	for i := 0; i < len(line); {
		if line[i] == 0x1b {
			if end := strings.IndexByte(line[i:], 'm'); end >= 0 {
				i += end + 1
				continue
			}
		}
		if columns == width {
			return line[:i] + "\x1b[0m"
		}
		_, size := utf8.DecodeRuneInString(line[i:])
		i += size
		columns++
	}
	return line
}
