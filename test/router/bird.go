package router

import (
	"context"
	"os/exec"
	"testing"
)

// BIRD starts BIRD 2 in a network namespace, as `ip netns` names it.
func BIRD(t testing.TB, namespace, config string) *Router {
	t.Helper()
	r := newRouter(t, namespace, "bird")
	r.ask = func(ctx context.Context, command string) *exec.Cmd {
		return exec.CommandContext(ctx, "birdc", "-s", r.path("bird.ctl"), command)
	}
	r.write("bird.conf", config)
	r.start("bird", "bird", "-f", "-c", r.path("bird.conf"), "-s", r.path("bird.ctl"), "-P", r.path("bird.pid"))
	r.answers("show status")
	return r
}

// Configure gives BIRD another configuration.
func (r *Router) Configure(config string) {
	r.t.Helper()
	r.write("bird.conf", config)
	r.MustAsk("configure")
}
