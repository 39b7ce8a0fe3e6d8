package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/test/procstat"
)

// port of all nodes, on loopback addresses of their own.
const port = 17957

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 57, byte(i >> 8), byte(i)}), port)
}

const (
	// startTimeout bounds how long the speaker takes until all others are alive in its view.
	startTimeout = 5 * time.Minute
	// stopTimeout bounds how long it takes to end.
	stopTimeout = 15 * time.Second
)

// idle is the usage of a real speaker among the others in a quiet cluster.
type idle struct {
	share    float64 // of a processor
	resident int64   // bytes, at the end
}

// measureSpeaker runs the real speaker on node 0.
func (c *cluster) measureSpeaker(ctx context.Context, program string, during time.Duration) (i idle, err error) {
	folder, err := os.MkdirTemp("", "lbstack-bench-speaker-")
	if err != nil {
		return i, fmt.Errorf("making a folder for the speaker: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	keys, state := filepath.Join(folder, "keys"), filepath.Join(folder, "state")
	if err := errors.Join(os.Mkdir(keys, 0o700), os.Mkdir(state, 0o700), os.WriteFile(filepath.Join(keys, "key-1"), keyBytes, 0o600)); err != nil {
		return i, fmt.Errorf("preparing the folder of the speaker: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--node="+string(nodeName(0)), "--address="+address(0).Addr().String(), "--namespace="+namespace,
		fmt.Sprintf("--mesh-port=%d", port), "--mesh-key-dir="+keys, "--state-dir="+state, "--log-level=error")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.server.KubeconfigPath())
	cmd.Stderr = os.Stderr
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(unix.SIGTERM) }, stopTimeout
	if err := cmd.Start(); err != nil {
		return i, fmt.Errorf("starting the speaker: %w", err)
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		if _ = cmd.Wait(); ctx.Err() == nil {
			return fmt.Errorf("the speaker ended before it was measured: %s", cmd.ProcessState)
		}
		return nil
	})
	group.Go(func() error { return c.report(running) })
	group.Go(func() (failed error) {
		defer cancel()
		i, failed = c.watchSpeaker(running, cmd.Process.Pid, during)
		return failed
	})
	err = group.Wait()
	return i, err
}

// watchSpeaker waits until the cluster is quiet, and returns what the speaker uses then.
func (c *cluster) watchSpeaker(ctx context.Context, pid int, during time.Duration) (i idle, err error) {
	if err := c.awaitSpeaker(ctx); err != nil {
		return i, err
	}
	if err := pause(ctx, settle); err != nil {
		return i, err
	}
	before, err := procstat.Read(pid)
	if err != nil {
		return i, err
	}
	begun := time.Now()
	if err := pause(ctx, during); err != nil {
		return i, err
	}
	after, err := procstat.Read(pid)
	if err != nil {
		return i, err
	}
	if err := c.awaitSpeaker(ctx); err != nil {
		return i, fmt.Errorf("after the measurement: %w", err)
	}
	return idle{float64(after.Processor-before.Processor) / float64(time.Since(begun)), after.Resident}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// keyBytes is the key of all nodes.
var keyBytes = bytes.Repeat([]byte{'k'}, session.KeySize)
