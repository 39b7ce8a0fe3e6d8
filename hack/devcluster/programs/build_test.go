package programs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tiny returns a module whose program prints a text.
func tiny(t *testing.T) programModule {
	t.Helper()
	m := programModule{name: "tiny", title: "the tiny program", dir: t.TempDir(), ldflags: stripFlags + " -X main.text=hello"}
	write(t, filepath.Join(m.dir, "go.mod"), "module tiny\n\ngo 1.26.0\n")
	write(t, filepath.Join(m.dir, "main.go"), "package main\n\nvar text = \"none\"\n\nfunc main() { println(text) }\n")
	return m
}

func TestEnsureBuildsOnce(t *testing.T) {
	m, cache := tiny(t), filepath.Join(t.TempDir(), "not", "yet")
	var progress bytes.Buffer
	first, err := m.ensureProgram(t.Context(), cache, &progress)
	if err != nil {
		t.Fatalf("ensure: %v", err)
	}
	if got, want := progress.String(), "building the tiny program (once, kept in "+cache+")\n"; got != want {
		t.Errorf("progress: got %q, want %q", got, want)
	}
	output, err := exec.CommandContext(t.Context(), first).CombinedOutput()
	if err != nil || string(output) != "hello\n" {
		t.Errorf("the program prints %q, %v, want %q", output, err, "hello\n")
	}
	progress.Reset()
	second, err := m.ensureProgram(t.Context(), cache, &progress)
	if err != nil || second != first {
		t.Errorf("again: got %q, %v, want %q", second, err, first)
	}
	if progress.Len() != 0 {
		t.Errorf("again: built once more: %s", progress.String())
	}
	base := filepath.Base(first)
	if diff := cmp.Diff([]string{base, base + ".lock"}, list(t, cache)); diff != "" {
		t.Errorf("files in the cache (-want +got):\n%s", diff)
	}
}

func TestEnsureAtOnceBuildsOnce(t *testing.T) {
	m, cache := tiny(t), t.TempDir()
	var builds [3]bytes.Buffer
	var errs [len(builds)]error
	var wait sync.WaitGroup
	for i := range builds {
		wait.Go(func() { _, errs[i] = m.ensureProgram(t.Context(), cache, &builds[i]) })
	}
	wait.Wait()
	built := 0
	for i := range builds {
		if errs[i] != nil {
			t.Errorf("ensure: %v", errs[i])
		}
		built += strings.Count(builds[i].String(), "building")
	}
	if built != 1 {
		t.Errorf("got %d builds, want 1", built)
	}
}

func TestEnsureQuotesTheCompiler(t *testing.T) {
	m, cache := tiny(t), t.TempDir()
	write(t, filepath.Join(m.dir, "main.go"), "package main\n\nfunc main() { missing() }\n")
	_, err := m.ensureProgram(t.Context(), cache, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("got error %v, want one that holds the compiler's", err)
	}
	for _, name := range list(t, cache) {
		if !strings.HasSuffix(name, ".lock") {
			t.Errorf("a failed build leaves %s", name)
		}
	}
}

func TestEnsureEndsWithItsContext(t *testing.T) {
	m, cache := tiny(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	hash, err := m.sourceHash(ctx)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, m.name+"-"+hash+".lock"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, err = m.ensureProgram(ctx, cache, writerFunc(func(p []byte) (int, error) {
		cancel() // a waiting build prints that it waits
		return len(p), nil
	}))
	if err == nil || ctx.Err() == nil {
		t.Errorf("got error %v, want that of the context", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestHash(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, m *programModule)
		same   bool
	}{
		{"the same source has the same hash", func(*testing.T, *programModule) {}, true},
		{"the folder does not matter", func(t *testing.T, m *programModule) {
			moved := filepath.Join(t.TempDir(), "moved")
			if err := os.Rename(m.dir, moved); err != nil {
				t.Fatal(err)
			}
			m.dir = moved
		}, true},
		{"a text file does not matter", func(t *testing.T, m *programModule) {
			write(t, filepath.Join(m.dir, "README.md"), "text")
		}, true},
		{"other flags change it", func(_ *testing.T, m *programModule) { m.ldflags = stripFlags }, false},
		{"another file changes it", func(t *testing.T, m *programModule) {
			write(t, filepath.Join(m.dir, "other.go"), "package main\n")
		}, false},
		{"a changed go.sum changes it", func(t *testing.T, m *programModule) {
			write(t, filepath.Join(m.dir, "go.sum"), "x")
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := tiny(t)
			before := hashOf(t, m)
			tc.change(t, &m)
			after := hashOf(t, m)
			if (before == after) != tc.same || len(after) != hashDigits {
				t.Errorf("got %s and then %s, want same %v and %d digits", before, after, tc.same, hashDigits)
			}
		})
	}
}

func hashOf(t *testing.T, m programModule) string {
	t.Helper()
	hash, err := m.sourceHash(t.Context())
	if err != nil {
		t.Fatalf("hash: %v", err)
	}
	return hash
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
