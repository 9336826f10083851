package peer

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"

	"noecho/bench/internal/workload"
)

// resp is a connection to a Redis server that knows the one command that is measured. Why not a client library: any of
// them allocates, locks and parses more than this, and Redis would be charged for it. This is the least that a client can do: commands
// are built in one buffer that is kept, a pipeline is one write, and a reply is two bytes to look at.
type resp struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

// setTail ends each SET: only if it is not there, and for a day, which is the window.
var setTail = fmt.Sprintf("$2\r\nNX\r\n$2\r\nEX\r\n$5\r\n%d\r\n", int(workload.Window.Seconds()))

func dialRedis(network, address string) (*resp, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &resp{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// set appends SET key offset NX EX 86400 to what is to be sent.
func (c *resp) set(key []byte, offset int64) {
	var digits [20]byte
	value := strconv.AppendInt(digits[:0], offset, 10)
	b := append(c.out, "*6\r\n$3\r\nSET\r\n$"...)
	b = strconv.AppendInt(b, int64(len(key)), 10)
	b = append(b, '\r', '\n')
	b = append(b, key...)
	b = append(b, "\r\n$"...)
	b = strconv.AppendInt(b, int64(len(value)), 10)
	b = append(b, '\r', '\n')
	b = append(b, value...)
	b = append(b, '\r', '\n')
	c.out = append(b, setTail...)
}

// flush sends what was built.
func (c *resp) flush() error {
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// replies reads the answers to n SETs: +OK for a key that was set, a null for one that was there.
func (c *resp) replies(n int) (duplicates int, err error) {
	for range n {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return duplicates, err
		}
		switch {
		case line[0] == '+':
		case line[0] == '$' && line[1] == '-', line[0] == '_':
			duplicates++
		default:
			return duplicates, &ReplyError{Reply: strings.TrimSpace(string(line))}
		}
	}
	return duplicates, nil
}

// info asks for a number of INFO's.
func (c *resp) info(section, field string) (int64, error) {
	c.out = fmt.Appendf(c.out, "*2\r\n$4\r\nINFO\r\n$%d\r\n%s\r\n", len(section), section)
	if err := c.flush(); err != nil {
		return 0, err
	}
	head, err := c.in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || size < 0 {
		return 0, &ReplyError{Reply: strings.TrimSpace(head)}
	}
	value := int64(-1)
	for read := 0; read < size+2; {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		read += len(line)
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			if value, err = strconv.ParseInt(v, 10, 64); err != nil {
				return 0, err
			}
		}
	}
	if value < 0 {
		return 0, &ReplyError{Reply: "INFO without " + field}
	}
	return value, nil
}

func (c *resp) close() error { return c.conn.Close() }
