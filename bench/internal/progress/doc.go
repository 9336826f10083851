// Package progress shows how far a long run is: a bar on a terminal, else a line every few seconds, so that a log of it can be
// read as well.
package progress
