package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// krewManifest is what of the manifest for krew is compared with the archives.
type krewManifest struct {
	Spec struct {
		Version   string `json:"version"`
		Platforms []struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			URI    string `json:"uri"`
			SHA256 string `json:"sha256"`
		} `json:"platforms"`
	} `json:"spec"`
}

// checkPlugin has krew install the kubectl plugin from the archive of each platform, and looks at the program.
func checkPlugin(t *testing.T, repo string, files map[string][]byte) {
	var manifest krewManifest
	if err := yaml.Unmarshal(files["krew.yaml"], &manifest); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "krew.yaml"), files["krew.yaml"], 0o600); err != nil {
		t.Fatal(err)
	}
	archives := map[string]string{}
	for _, p := range manifest.Spec.Platforms {
		archives[p.Selector.MatchLabels["os"]+"-"+p.Selector.MatchLabels["arch"]] = path.Base(p.URI)
		content := files[path.Base(p.URI)]
		if want := "https://github.com/lbstack/lbstack/releases/download/" + manifest.Spec.Version + "/"; !strings.HasPrefix(p.URI, want) || content == nil {
			t.Fatalf("krew would download %s, want a file of the release below %s", p.URI, want)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(content)); sum != p.SHA256 {
			t.Errorf("%s has the checksum %s, krew expects %s", path.Base(p.URI), sum, p.SHA256)
		}
		if got := unpack(t, content); len(got) != 2 || got["kubectl-lbstack"].mode != 0o755 || !bytes.Equal(got["LICENSE"].content, read(t, filepath.Join(repo, "LICENSE"))) {
			t.Errorf("%s has the files %q, want the program, which can be run, and the license of the repository", path.Base(p.URI), slices.Sorted(maps.Keys(got)))
		}
		if err := os.WriteFile(filepath.Join(dir, path.Base(p.URI)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for system := range strings.FieldsSeq(systems()) {
		for architecture := range strings.FieldsSeq(architectures()) {
			t.Run(system+" "+architecture, func(t *testing.T) {
				name, ok := archives[system+"-"+architecture]
				if !ok {
					t.Fatalf("krew has archives for %q alone", slices.Sorted(maps.Keys(archives)))
				}
				installed := install(t, repo, dir, name, system, architecture)
				if got := platformOf(t, installed); got != system+" "+architecture {
					t.Errorf("the program of %s is for %s", name, got)
				}
				if system != "linux" {
					return
				}
				command := []string{installed, "version", "--client"}
				if architecture != runtime.GOARCH {
					command = append([]string{emulator(t, architecture)}, command...)
				}
				output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
				if err != nil || !strings.Contains(string(output), manifest.Spec.Version) {
					t.Errorf("version --client: %v: %s, want %s", err, output, manifest.Spec.Version)
				}
			})
		}
	}
}

// install has krew install a plugin for a platform, and returns the program that kubectl would find.
func install(t *testing.T, repo, dir, archive, system, architecture string) string {
	t.Helper()
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(repo, "bin", "krew"), "install", "--manifest="+filepath.Join(dir, "krew.yaml"), "--archive="+filepath.Join(dir, archive))
	cmd.Env = append(os.Environ(), "KREW_ROOT="+root, "KREW_OS="+system, "KREW_ARCH="+architecture, "KREW_NO_UPGRADE_CHECK=1")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("krew install: %v: %s", err, output)
	}
	installed := filepath.Join(root, "bin", "kubectl-lbstack")
	if info, err := os.Stat(installed); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Fatalf("the installed program: %v, %v, want one that can be run", info, err)
	}
	return installed
}

// platformOf reads for which platform a program is, as Go names it.
func platformOf(t *testing.T, file string) string {
	t.Helper()
	if program, err := elf.Open(file); err == nil {
		defer program.Close()
		return "linux " + map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[program.Machine]
	}
	program, err := macho.Open(file)
	if err != nil {
		t.Fatalf("the program is neither for Linux nor for macOS: %v", err)
	}
	defer program.Close()
	return "darwin " + map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[program.Cpu]
}

// packed is a file of an archive.
type packed struct {
	mode    int64
	content []byte
}

// unpack reads a compressed archive, by path.
func unpack(t *testing.T, content []byte) map[string]packed {
	t.Helper()
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]packed{}
	for r := tar.NewReader(unpacked); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = packed{header.Mode, text}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
