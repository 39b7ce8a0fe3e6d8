// Command operator measures, with a real API server, how long a pass of the operator over an
// unchanged stack takes, how soon a change of a pool in the stack is in the pool's own
// object, and how soon in the informer stores of a number of speakers. It prints distributions as
// a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/test/apiserver"
)

// limit bounds each wait.
const limit = time.Minute

func main() {
	runs := flag.Int("runs", 100, "how often each is measured")
	pools := flag.Int("pools", 1, "pools of the stack, which has as many routers")
	speakers := flag.Int("speakers", 10, "informer stores, one for each speaker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *runs, *pools, *speakers); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs, pools, speakers int) (err error) {
	if runs < 1 || pools < 1 || speakers < 1 {
		return errors.New("-runs, -pools and -speakers: want at least one")
	}
	server, err := apiserver.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	b, err := newBed(ctx, server, speakers)
	if b != nil {
		defer func() { err = errors.Join(err, b.speakers.end()) }()
	}
	if err != nil {
		return err
	}
	end, err := b.operator(ctx, server.Repo)
	if err != nil {
		return err
	}
	defer end()
	fmt.Println("| operator | pools and routers of the stack | runs | best (ms) | median | p90 | worst |\n|---|---|---|---|---|---|---|")
	if err := b.stack(ctx, pools); err != nil {
		return err
	}
	for _, figure := range []struct {
		name    string
		measure func(context.Context, int) (time.Duration, error)
	}{
		{"pass over an unchanged stack", b.pass},
		{"from a changed pool in the stack to its object", b.change},
		{fmt.Sprintf("from a changed pool in the stack to the last of %d speakers", speakers), b.spread},
	} {
		var list []time.Duration
		for i := range runs {
			one, err := figure.measure(ctx, i)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", figure.name, i+1, err)
			}
			list = append(list, one)
		}
		row(figure.name, pools, list)
	}
	return nil
}

// row prints a distribution.
func row(what string, size int, list []time.Duration) {
	slices.Sort(list)
	at := func(share float64) float64 {
		return float64(list[int(share*float64(len(list)-1)+0.5)].Microseconds()) / 1000
	}
	fmt.Printf("| %s | %d | %d | %.1f | %.1f | %.1f | %.1f |\n", what, size, len(list), at(0), at(0.5), at(0.9), at(1))
}

// operator builds the operator as it is shipped, and starts it.
func (b *bed) operator(ctx context.Context, repo string) (end func(), err error) {
	path := filepath.Join(repo, "bin", "bench", "operator")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", path, "./cmd/operator")
	build.Dir, build.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the operator: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, path, "--metrics-bind-address="+metricsAddress, "--health-probe-bind-address=0", "--log-level=error")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.kubeconfig, "POD_NAMESPACE="+namespace, "RELATED_IMAGE_LBSTACK=registry.example/lbstack:bench")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}, nil
}
