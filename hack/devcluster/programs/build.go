package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// progressInterval is the time between progress lines of a build.
	progressInterval = 15 * time.Second
	// interruptGrace is how long the go command may take to clean up after an interrupt.
	interruptGrace = 10 * time.Second
	// maxErrorLines is the maximum number of lines of the go command's output in an error.
	maxErrorLines = 20
)

// programModule is a Go module whose root package is one program.
type programModule struct {
	name    string // name of the program's file, without the hash
	title   string // name of the program in messages
	dir     string // folder of the module
	ldflags string
}

// ensureProgram returns the path of the program in the cache. It builds the program if
// the cache does not have it.
func (m programModule) ensureProgram(ctx context.Context, cache string, progress io.Writer) (string, error) {
	hash, err := m.sourceHash(ctx)
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, m.name+"-"+hash)
	if isCached(target) {
		return target, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	unlock, err := lockFile(ctx, target+".lock", func() {
		fmt.Fprintf(progress, "waiting for another process that builds %s\n", m.title)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if isCached(target) { // built while this process waited
		return target, nil
	}
	return target, m.buildProgram(ctx, target, progress)
}

// buildProgram builds the program in a temporary folder and then moves it to target.
func (m programModule) buildProgram(ctx context.Context, target string, progress io.Writer) error {
	scratch, err := os.MkdirTemp(filepath.Dir(target), ".building-"+m.name+"-")
	if err != nil {
		return fmt.Errorf("making a directory for the build: %w", err)
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, m.name)
	stop := reportProgress(progress, fmt.Sprintf("building %s (once, kept in %s)", m.title, filepath.Dir(target)))
	_, err = m.runGo(ctx, append(append([]string{"build"}, m.buildFlags()...), "-o", made, ".")...)
	stop()
	if err != nil {
		return err
	}
	if err := os.Rename(made, target); err != nil {
		return fmt.Errorf("putting the program into the cache: %w", err)
	}
	return nil
}

// buildFlags returns the flags of the build. With them two checkouts of the same source
// give the same program.
func (m programModule) buildFlags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", m.ldflags}
}

// runGo runs the go command in the module and returns its standard output.
func (m programModule) runGo(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return "", fmt.Errorf("running go %s in %s: %w\n%s", args[0], m.dir, err, lastLines(stderr.String(), maxErrorLines))
	}
	return stdout.String(), nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// reportProgress writes the text at once. Until stop is called, it then writes the text
// and the elapsed time every progressInterval.
func reportProgress(progress io.Writer, text string) (stop func()) {
	start := time.Now()
	ticker := time.NewTicker(progressInterval)
	quit, done := make(chan struct{}), make(chan struct{})
	fmt.Fprintln(progress, text)
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				fmt.Fprintf(progress, "%s: %s\n", text, time.Since(start).Round(time.Second))
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(quit)
		<-done
	}
}

// isCached reports whether the cache has the program. A program gets this path only
// when its build has finished.
func isCached(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
