package programs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// Binaries are the absolute paths of the programs.
type Binaries struct {
	// Kubernetes is one file with all Kubernetes programs. Its first argument selects
	// the program: kube-apiserver, kube-controller-manager, kube-scheduler, kubelet,
	// kube-proxy or kubectl.
	Kubernetes string
	// Etcd is the etcd server.
	Etcd string
}

// repoMarker is the file by which FindRepo recognizes the repository's root.
var repoMarker = filepath.Join("hack", "kubernetes", "go.mod")

// FindRepo returns the root of the repository that contains a directory. The root is the
// first directory with hack/kubernetes/go.mod, upwards from the given one.
func FindRepo(from string) (string, error) {
	start, err := filepath.Abs(from)
	if err != nil {
		return "", fmt.Errorf("finding the repository from %s: %w", from, err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, repoMarker)); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no directory from %s upwards has %s: use a folder in the lbstack repository", start, repoMarker)
		}
	}
}

// EnsureBinaries returns the programs of the repository. It builds them if the cache does not
// have them. A build without a warm Go build cache takes ten minutes on a small machine.
// During a build, progress receives a line every 15 seconds; it may be nil. If several
// processes call EnsureBinaries at the same time, one builds and the others wait. The cache is
// $LBSTACK_CACHE. If that is not set, it is $XDG_CACHE_HOME/lbstack or
// $HOME/.cache/lbstack.
func EnsureBinaries(ctx context.Context, repo string, progress io.Writer) (Binaries, error) {
	if progress == nil {
		progress = io.Discard
	}
	repo, err := filepath.Abs(repo)
	if err != nil {
		return Binaries{}, fmt.Errorf("finding the repository %s: %w", repo, err)
	}
	cache, err := cacheDir(os.Getenv)
	if err != nil {
		return Binaries{}, err
	}
	modules, err := programModules(repo)
	if err != nil {
		return Binaries{}, err
	}
	paths := make([]string, len(modules))
	for i, m := range modules {
		if paths[i], err = m.ensureProgram(ctx, cache, progress); err != nil {
			return Binaries{}, fmt.Errorf("providing %s: %w", m.title, err)
		}
	}
	return Binaries{Kubernetes: paths[0], Etcd: paths[1]}, nil
}

// programModules returns the modules of Kubernetes and etcd, in this order.
func programModules(repo string) ([]programModule, error) {
	kubernetes := filepath.Join(repo, "hack", "kubernetes")
	version, err := kubernetesVersion(filepath.Join(kubernetes, "go.mod"))
	if err != nil {
		return nil, err
	}
	return []programModule{
		{name: "kubernetes", title: "the Kubernetes programs", dir: kubernetes, ldflags: version.ldflags()},
		{name: "etcd", title: "etcd", dir: filepath.Join(repo, "hack", "etcd"), ldflags: stripFlags},
	}, nil
}

// stripFlags are linker flags that leave out the symbol table and the debugging data.
// These are half of a program's size.
const stripFlags = "-s -w"

// kubernetesRelease is a version of Kubernetes: v1.37.2 has the major number 1 and the
// minor number 37.
type kubernetesRelease struct{ full, major, minor string }

var requirementPattern = regexp.MustCompile(`(?m)^(?:require)?\s+k8s\.io/kubernetes\s+(v(\d+)\.(\d+)\.\S+)`)

// kubernetesVersion reads the required version of Kubernetes from a go.mod.
func kubernetesVersion(goMod string) (kubernetesRelease, error) {
	text, err := os.ReadFile(goMod)
	if err != nil {
		return kubernetesRelease{}, fmt.Errorf("reading the version of Kubernetes: %w", err)
	}
	found := requirementPattern.FindSubmatch(text)
	if found == nil {
		return kubernetesRelease{}, fmt.Errorf("%s requires no k8s.io/kubernetes", goMod)
	}
	return kubernetesRelease{full: string(found[1]), major: string(found[2]), minor: string(found[3])}, nil
}

// ldflags returns linker flags that set the version of the programs, as the build of
// Kubernetes does. Without these flags the version is v0.0.0, with which clients and
// kubelets refuse to work.
func (r kubernetesRelease) ldflags() string {
	const version = "k8s.io/component-base/version."
	return stripFlags + " -X " + version + "gitVersion=" + r.full + " -X " + version + "gitMajor=" + r.major +
		" -X " + version + "gitMinor=" + r.minor
}

// cacheDir returns the absolute path of the directory with the programs.
func cacheDir(getenv func(string) string) (string, error) {
	dir := getenv("LBSTACK_CACHE")
	if dir == "" {
		base := getenv("XDG_CACHE_HOME")
		if base == "" {
			home := getenv("HOME")
			if home == "" {
				return "", fmt.Errorf("finding the cache: set LBSTACK_CACHE, since XDG_CACHE_HOME and HOME are not set either")
			}
			base = filepath.Join(home, ".cache")
		}
		dir = filepath.Join(base, "lbstack")
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the cache %s: %w", dir, err)
	}
	return filepath.Join(absolute, "bin"), nil
}
