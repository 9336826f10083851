package peer

import (
	"errors"
	"fmt"
)

// ErrNoRedis says that the Redis server cannot be run here.
var ErrNoRedis = errors.New("redis-server was not found: install Redis 7 (apt-get install redis-server), or name it with --redis-server")

// UnknownError says that there is no peer of that name.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no peer is called %q; noecho-bench run --list shows all", e.Name)
}

// ReplyError is an answer of the Redis server that is none to the command.
type ReplyError struct{ Reply string }

func (e *ReplyError) Error() string { return fmt.Sprintf("redis answered %q", e.Reply) }
