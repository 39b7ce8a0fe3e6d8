// Command allocation measures, with a real API server, how long the controller
// takes from its start until all Services that wait have their address, and
// whether it is quiet afterwards. It prints the distribution as a table.
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
	"strconv"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/apiserver"
)

func main() {
	counts := flag.String("services", "1000,5000", "how many Services wait, with commas between several numbers")
	runs := flag.Int("runs", 5, "how often each is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *counts, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "allocation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, counts string, runs int) error {
	if runs < 1 {
		return errors.New("-runs: want at least one")
	}
	var sizes []int
	for item := range strings.SplitSeq(counts, ",") {
		n, err := strconv.Atoi(item)
		if err != nil || n < 1 {
			return fmt.Errorf("-services: %q is not a number of Services", item)
		}
		sizes = append(sizes, n)
	}
	fmt.Printf("| Services that wait when the controller starts | runs | best | median | worst | per second | writes in the next %d s |\n|---|---|---|---|---|---|---|\n", int(quiet.Seconds()))
	for _, n := range sizes {
		if err := measure(ctx, n, runs); err != nil {
			return err
		}
	}
	return nil
}

// measure prints one line of the table. Each size has an API server of its own,
// as it is after its start: the history that a run leaves in etcd is a
// burden for the next run, as in a cluster in use.
func measure(ctx context.Context, services, runs int) (err error) {
	server, err := apiserver.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	program, err := build(ctx, server.Repo)
	if err != nil {
		return err
	}
	b, err := newBed(server, program)
	if err != nil {
		return err
	}
	var took []time.Duration
	writes := 0
	for i := range runs {
		one, written, err := b.once(ctx, services)
		if err != nil {
			return fmt.Errorf("%d Services, run %d: %w", services, i+1, err)
		}
		fmt.Fprintf(os.Stderr, "%d Services, run %d of %d: %.2f s, then %d writes\n", services, i+1, runs, one.Seconds(), written)
		took = append(took, one)
		writes = max(writes, written)
	}
	slices.Sort(took)
	median := took[len(took)/2]
	fmt.Printf("| %d | %d | %.2f s | %.2f s | %.2f s | %.0f | %d |\n", services, runs,
		took[0].Seconds(), median.Seconds(), took[len(took)-1].Seconds(), float64(services)/median.Seconds(), writes)
	return nil
}

// build builds the controller as it is shipped.
func build(ctx context.Context, repo string) (string, error) {
	path := filepath.Join(repo, "bin", "bench", "controller")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", path, "./cmd/controller")
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the controller: %w\n%s", err, out)
	}
	return path, nil
}
