package main

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// startPostgres starts a server of the test's own, on a socket in its own directory, and gives its address.
func startPostgres(t *testing.T) (database string) {
	t.Helper()
	bin := serverBinaries(t)
	// Not t.TempDir: its parent is closed to the user that the server runs as.
	dir, err := os.MkdirTemp("", "noecho-pg-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := serverUser(t, dir)
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
		return cmd
	}
	data := filepath.Join(dir, "data")
	out, err := run("initdb", "-D", data, "-U", "noecho", "-A", "trust", "-N", "--no-instructions").CombinedOutput()
	require.NoError(t, err, "%s", out)
	log, err := os.Create(filepath.Join(t.TempDir(), "postgres.log"))
	require.NoError(t, err)
	defer log.Close()
	// Nobody pulls the machine's plug in this test, so the server need not wait for the disk.
	server := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	server.Stdout, server.Stderr = log, log
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // at once
		_ = server.Wait()
	})
	database = "postgres:///postgres?user=noecho&host=" + url.QueryEscape(dir)
	require.Eventually(t, func() bool {
		db, err := pgxpool.New(context.Background(), database)
		if err != nil {
			return false
		}
		defer db.Close()
		return db.Ping(context.Background()) == nil
	}, time.Minute, 50*time.Millisecond, "the server does not answer: %s", log.Name())
	return database
}

// serverBinaries finds initdb and postgres: in PATH, or where Debian keeps them out of it.
func serverBinaries(t *testing.T) string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql): the example is not tested")
	}
	return filepath.Dir(found[len(found)-1])
}

// serverUser: the server refuses to run as root. It is then run as the user that Debian makes for it, who gets the directory.
func serverUser(t *testing.T, dir string) *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(dir, uid, gid))
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
