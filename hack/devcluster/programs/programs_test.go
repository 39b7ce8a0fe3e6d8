package programs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindRepo(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "internal", "speaker")
	for _, dir := range []string{deep, filepath.Join(root, "hack", "kubernetes")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "hack", "kubernetes", "go.mod"), "module x\n")
	for _, tc := range []struct{ name, from, want string }{
		{"the root itself is found", root, root},
		{"a package deep down belongs to the root", deep, root},
		{"a module of the repository belongs to the root", filepath.Join(root, "hack", "kubernetes"), root},
		{"outside there is no repository", filepath.Dir(root), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := FindRepo(tc.from)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("FindRepo(%q): got %q, %v, want %q", tc.from, got, err, tc.want)
			}
		})
	}
}

func TestCacheDir(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"our own variable goes first", map[string]string{"LBSTACK_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/bin"},
		{"the cache of the user is next", map[string]string{"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/lbstack/bin"},
		{"a home has a cache", map[string]string{"HOME": "/c"}, "/c/.cache/lbstack/bin"},
		{"without a home there is no cache", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := cacheDir(func(key string) string { return tc.env[key] })
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestKubernetesVersion(t *testing.T) {
	for _, tc := range []struct {
		name, goMod string
		want        kubernetesRelease
	}{
		{
			"a require in a block", "module x\n\nrequire (\n\tk8s.io/kubectl v0.0.0\n\tk8s.io/kubernetes v1.37.2\n)\n",
			kubernetesRelease{"v1.37.2", "1", "37"},
		},
		{"a require of its own", "module x\n\nrequire k8s.io/kubernetes v1.36.0-rc.1\n", kubernetesRelease{"v1.36.0-rc.1", "1", "36"}},
		{"a replacement is no requirement", "module x\n\nreplace k8s.io/kubernetes v1.37.2 => ../y\n", kubernetesRelease{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "go.mod")
			write(t, path, tc.goMod)
			got, err := kubernetesVersion(path)
			if got != tc.want || (err == nil) != (tc.want != kubernetesRelease{}) {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestVersionReachesTheLinker(t *testing.T) {
	got := kubernetesRelease{"v1.37.2", "1", "37"}.ldflags()
	want := "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2" +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLastLines(t *testing.T) {
	if got, want := lastLines(strings.Repeat("noise\n", 9)+"a\nb\n", 2), "a\nb"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := lastLines("", 2), ""; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
