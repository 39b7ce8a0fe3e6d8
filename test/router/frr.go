package router

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// FRR starts FRR in a network namespace, as `ip netns` names it: zebra, and the daemons
// that are named, such as bgpd and bfdd. All read the same configuration.
func FRR(t testing.TB, namespace, config string, daemons ...string) *Router {
	t.Helper()
	r := newRouter(t, namespace, "frr")
	r.ask = func(ctx context.Context, command string) *exec.Cmd {
		args := []string{"--vty_socket", r.folder, "--config_dir", r.folder}
		for line := range strings.Lines(command) {
			args = append(args, "-c", strings.TrimSpace(line))
		}
		return exec.CommandContext(ctx, "vtysh", args...)
	}
	r.write("frr.conf", config)
	r.write("vtysh.conf", "no service integrated-vtysh-config\n")
	r.giveTo("frr")
	t.Cleanup(r.cleanFRR)
	for _, d := range append([]string{"zebra"}, daemons...) {
		args := []string{
			"/usr/lib/frr/" + d, "--config_file", r.path("frr.conf"), "--pid_file", r.path(d + ".pid"),
			"--socket", r.path("zserv.api"), "--vty_socket", r.folder, "--vty_port", "0", "--log", "stdout",
		}
		if d == "bfdd" {
			args = append(args, "--bfdctl", r.path("bfdd.sock"))
		}
		r.start(d, args...)
		r.listens(d)
	}
	r.answers("show version")
	return r
}

// listens waits until a daemon has read its configuration and accepts commands: the
// others connect to zebra when they start.
func (r *Router) listens(daemon string) {
	r.t.Helper()
	ask := r.ask
	defer func() { r.ask = ask }()
	r.ask = func(ctx context.Context, command string) *exec.Cmd {
		return exec.CommandContext(ctx, "vtysh", "--vty_socket", r.folder, "--config_dir", r.folder, "-d", daemon, "-c", command)
	}
	r.answers("show version")
}

// giveTo gives the folder to the user that the daemons become.
func (r *Router) giveTo(name string) {
	r.t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		r.t.Fatalf("the package frr is missing ('make prerequisites' installs it): %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	entries, err := filepath.Glob(r.path("*"))
	for _, path := range append(entries, r.folder) {
		if err == nil {
			err = os.Chown(path, uid, gid)
		}
	}
	if err == nil {
		err = os.Chmod(r.folder, 0o755)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// cleanFRR removes what daemons leave in a folder that they all share.
func (r *Router) cleanFRR() {
	r.Stop()
	for _, p := range r.programs {
		os.RemoveAll(filepath.Join("/var/tmp/frr", fmt.Sprintf("%s.%d", p.name, p.cmd.Process.Pid)))
	}
}
