package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/watchdog"
	"github.com/lbstack/lbstack/test/eventually"
)

// A container runtime that hangs no longer reads the log: the goroutine of a BGP session that
// has something to log waits for ever.
func TestSpeakerWhoseLogHangsEnds(t *testing.T) {
	b := newBed(t)
	b.machine("exposed", nil)
	b.peer("router", func(p *v1beta1.BGPPeerSpec) { p.PeerAddress = "127.0.0.9" })
	e := exposedPrograms(t, b.namespace)[2]
	log, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	size, err := unix.FcntlInt(written.Fd(), unix.F_SETPIPE_SZ, 1)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, e.name), e.args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+server.KubeconfigPath())
	cmd.Stderr = written
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	written.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()

	read := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, log)
		read <- err
	}()
	eventually.Succeed(t, within, "the speaker is ready", func(ctx context.Context) error { return answers(ctx, e.health, "/readyz") })
	if err := errors.Join(log.SetReadDeadline(time.Now()), <-read); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("reading the log: got the error %v, want the deadline", err)
	}
	port := 1000
	edit := func(ctx context.Context) error { // has the session log a line
		port++
		peer := &v1beta1.BGPPeer{}
		peer.Name = "router"
		return b.Patch(ctx, peer, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"peerPort":%d}}`, port)))
	}
	eventually.Succeed(t, within, "the pipe of the log is full", func(ctx context.Context) error {
		if err := edit(ctx); err != nil {
			return err
		}
		if n, err := unix.IoctlGetInt(int(log.Fd()), unix.TIOCINQ); err != nil || n < size-200 {
			return fmt.Errorf("it has %d of %d bytes, error %v", n, size, err)
		}
		return nil
	})
	full := time.Now()
	for range 20 { // whatever the last piece, one more does not fit
		if err := edit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-ended:
	case <-time.After(3 * watchdog.HangTimeout):
		t.Fatalf("the speaker still runs %s after its log hangs", time.Since(full))
	}
	took := time.Since(full)
	t.Logf("the speaker ended %s after its log hung", took)
	if code := cmd.ProcessState.ExitCode(); code != 1 || took < watchdog.HangTimeout {
		t.Errorf("it ended with the exit code %d after %s, want 1 after at least %s", code, took, watchdog.HangTimeout)
	}
}
