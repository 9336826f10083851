package peer

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// redisServer is a server of our own: a free port, a socket and a directory nobody else uses, and no configuration file.
type redisServer struct {
	cmd     *exec.Cmd
	said    bytes.Buffer // read after the end only
	ended   chan error
	control *resp
	tcp     string
	socket  string
}

// FindRedis returns the path of the server's binary, or ErrNoRedis.
func FindRedis(binary string) (string, error) {
	if binary == "" {
		binary = "redis-server"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", fmt.Errorf("%w (%v)", ErrNoRedis, err)
	}
	return path, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startRedis starts a server in dir: without any persistence, or with an append-only file that is synced before each reply.
func startRedis(ctx context.Context, binary, dir string, always bool) (*redisServer, error) {
	path, err := FindRedis(binary)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// A socket's path may have about 100 bytes, which a test's directory has already.
	sockets, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	s := &redisServer{tcp: fmt.Sprintf("127.0.0.1:%d", port), socket: filepath.Join(sockets, "s"), ended: make(chan error, 1)}
	args := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--unixsocket", s.socket, "--dir", dir,
		"--save", "", "--daemonize", "no", "--appendonly", "no"}
	if always {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	s.cmd = exec.CommandContext(ctx, path, args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if s.control, err = dialRedis("unix", s.socket); err == nil {
			return s, nil
		}
		select {
		case end := <-s.ended:
			return nil, fmt.Errorf("redis-server ended at once (%v): %s", end, s.said.String())
		default:
		}
		if time.Since(begin) > 10*time.Second {
			_ = s.cmd.Process.Kill()
			<-s.ended
			return nil, fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
}

// stop ends the server. There is nothing to save: a store of the bench is never opened again.
func (s *redisServer) stop() error {
	_ = s.control.close()
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.ended
	return os.RemoveAll(filepath.Dir(s.socket))
}
