package peer

import "context"

// Redis is a server of our own for those who bring their own consumer: no persistence, loopback TCP.
type Redis struct{ s *redisServer }

// StartRedis starts it in dir; binary "" means redis-server from the path.
func StartRedis(ctx context.Context, binary, dir string) (*Redis, error) {
	s, err := startRedis(ctx, binary, dir, false)
	if err != nil {
		return nil, err
	}
	return &Redis{s}, nil
}

// Addr is host:port.
func (r *Redis) Addr() string { return r.s.tcp }

// PID of the server.
func (r *Redis) PID() int { return r.s.cmd.Process.Pid }

// Stop ends it and forgets everything.
func (r *Redis) Stop() error { return r.s.stop() }

// SetNX is a connection that asks for each key whether it is new.
type SetNX struct {
	c         *resp
	pipelined bool
}

// DialSetNX connects. A pipelined connection sends the keys of a call together; the other waits for each answer.
func DialSetNX(addr string, pipelined bool) (*SetNX, error) {
	c, err := dialRedis("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &SetNX{c, pipelined}, nil
}

// Fresh says of each key whether nobody has asked for it before, the offset being the value that is stored.
func (s *SetNX) Fresh(keys [][]byte, offsets []int64, fresh []bool) error {
	for i, key := range keys {
		s.c.set(key, offsets[i])
		if !s.pipelined {
			if err := s.answers(fresh[i : i+1]); err != nil {
				return err
			}
		}
	}
	if !s.pipelined {
		return nil
	}
	return s.answers(fresh)
}

func (s *SetNX) answers(fresh []bool) error {
	if err := s.c.flush(); err != nil {
		return err
	}
	for i := range fresh {
		duplicates, err := s.c.replies(1)
		if err != nil {
			return err
		}
		fresh[i] = duplicates == 0
	}
	return nil
}

// Forget empties the server: every key is new again.
func (s *SetNX) Forget() error {
	s.c.out = append(s.c.out, "*1\r\n$8\r\nFLUSHALL\r\n"...)
	return s.answers(make([]bool, 1))
}

// Close ends the connection.
func (s *SetNX) Close() error { return s.c.close() }
