// Package router runs real routers, FRR and BIRD, in network namespaces, for tests of
// what the speaker sends to them. Several run side by side; each has a folder of its
// own, and all that it started is gone when the test ends.
package router

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
)

// timeout bounds the start and the end of a router.
const timeout = 20 * time.Second

// Router is a router's programs. Start it with FRR or BIRD.
type Router struct {
	t         testing.TB
	namespace string
	folder    string
	ask       func(ctx context.Context, command string) *exec.Cmd
	programs  []*program
}

type program struct {
	name string
	cmd  *exec.Cmd
	out  output
	gone chan struct{}
}

// output keeps what a program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func newRouter(t testing.TB, namespace, kind string) *Router {
	t.Helper()
	// Paths of sockets must be short, so that the test's own folder does not do.
	folder, err := os.MkdirTemp("", "lbstack-"+kind+"-")
	if err != nil {
		t.Fatal(err)
	}
	r := &Router{t: t, namespace: namespace, folder: folder}
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			for _, p := range r.programs {
				t.Logf("%s printed:\n%s", p.name, p.out.String())
			}
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *Router) path(name string) string { return filepath.Join(r.folder, name) }

func (r *Router) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// start runs a program in the router's namespace. nsenter becomes the program, so that
// it has the process's id.
func (r *Router) start(name string, args ...string) {
	r.t.Helper()
	p := &program{name: name, gone: make(chan struct{})}
	p.cmd = exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + r.namespace}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		r.t.Fatalf("starting %s: %v", name, err)
	}
	r.programs = append(r.programs, p)
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait()
	}()
}

// answers waits until a question is answered.
func (r *Router) answers(command string) {
	r.t.Helper()
	eventually.Succeed(r.t, timeout, "the router in "+r.namespace+" answers", func(ctx context.Context) error {
		for _, p := range r.programs {
			select {
			case <-p.gone:
				return fmt.Errorf("%s has ended: %s", p.name, p.out.String())
			default:
			}
		}
		_, err := r.Ask(ctx, command)
		return err
	})
}

// Ask returns what the router answers to a command of its command line.
func (r *Router) Ask(ctx context.Context, command string) (string, error) {
	out, err := r.ask(ctx, command).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking %q: %w: %s", command, err, out)
	}
	return string(out), nil
}

// MustAsk is Ask for commands that must succeed.
func (r *Router) MustAsk(command string) string {
	r.t.Helper()
	out, err := r.Ask(context.Background(), command)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// Kill ends the router as a power cut does: it sends nothing to its peers.
func (r *Router) Kill() {
	r.signal(syscall.SIGKILL)
	for _, p := range r.programs {
		<-p.gone
	}
}

// Freeze stops the processes of the router. Thaw continues them.
func (r *Router) Freeze() { r.signal(syscall.SIGSTOP) }

// Thaw lets a frozen router go on.
func (r *Router) Thaw() { r.signal(syscall.SIGCONT) }

// Stop ends the router as an administrator does. Stop has no effect on a stopped router.
func (r *Router) Stop() {
	r.Thaw()
	r.signal(syscall.SIGTERM)
	expired := time.After(timeout)
	for _, p := range r.programs {
		select {
		case <-p.gone:
		case <-expired:
			r.t.Logf("%s did not end within %s and is killed", p.name, timeout)
			r.Kill()
		}
	}
}

func (r *Router) signal(s syscall.Signal) {
	for _, p := range r.programs {
		select {
		case <-p.gone:
		default:
			_ = p.cmd.Process.Signal(s)
		}
	}
}
