package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// built holds the programs that were built for this run.
var built = struct {
	sync.Mutex
	paths map[string]string
}{paths: map[string]string{}}

// program builds cmd/NAME of the repository, once; NAME@VERSION is the program of that version.
func program(t *testing.T, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path, ok := built.paths[name]; ok {
		return path
	}
	path := filepath.Join(server.Repo, "bin", "test", name)
	source, version, _ := strings.Cut(name, "@")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/"+source)
	if version != "" {
		cmd.Args = slices.Insert(cmd.Args, 2, "-ldflags=-X github.com/lbstack/lbstack/internal/version.Version="+version)
	}
	cmd.Dir = server.Repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	built.paths[name] = path
	return path
}

// process is a program that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan struct{}
}

// start runs a program against the API server until the test ends.
func start(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(program(t, name), args...)
	p.cmd.Env = append(append(os.Environ(), "KUBECONFIG="+server.KubeconfigPath()), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.log)
		}
	})
	return p
}

// stop ends the program with a signal, SIGKILL for a crash, and waits for it.
func (p *process) stop(signal syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not end within 20 s of %s", p.cmd.Path, signal)
	}
}

// lockedBuffer is a log that is written and read at once.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// administrator returns a client that may do everything.
func administrator(t *testing.T) client.Client {
	t.Helper()
	c, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create creates an object and deletes it when the test ends.
func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(context.Background(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() { remove(t, c, object) })
}

// remove deletes an object if it is still there.
func remove(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := client.IgnoreNotFound(c.Delete(context.Background(), object)); err != nil {
		t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
	}
}
