package olm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// within is how long a test waits for the cluster.
const within = 8 * time.Minute

// bed is the cluster that `make test-olm` brought up, with OLM. The tests use it one after the other;
// each begins and ends without lbstack.
var bed *scenario.Scenario

//go:embed olm.yaml
var lifecycleManager string

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	err := prepare(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare loads the images and installs OLM.
func prepare(ctx context.Context) (err error) {
	if bed, err = scenario.Open(ctx); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "lbstack-olm-")
	if err != nil {
		return fmt.Errorf("making a folder for images: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	for _, image := range append(programImages(), opmImage()) {
		if err := bed.LoadImage(ctx, scratch, image); err != nil {
			return err
		}
	}
	module, err := exec.CommandContext(ctx, "go", "-C", filepath.Join(bed.Repo, "hack", "olm"), "list", "-m", "-f", "{{.Dir}}", "github.com/operator-framework/operator-lifecycle-manager").Output()
	if err != nil {
		return fmt.Errorf("finding the module of OLM: %w", err)
	}
	opm, err := opmImage().PinnedName()
	if err != nil {
		return fmt.Errorf("computing the digest of opm's image: %w", err)
	}
	crds := filepath.Join(strings.TrimSpace(string(module)), "deploy", "chart", "crds")
	for _, step := range []struct {
		input string
		args  []string
	}{
		{"", []string{"apply", "--server-side", "-f", crds}},
		{"", []string{"wait", "--for=condition=Established", "--timeout=5m", "-f", crds}},
		{strings.Replace(lifecycleManager, "--opmImage=OPM ", "--opmImage="+opm+" ", 1), []string{"apply", "--server-side", "-f", "-"}},
		{"", []string{"-n", "olm", "wait", "--for=condition=Available", "--timeout=8m", "deployment", "--all"}},
	} {
		if _, err := kubectl(ctx, step.input, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// kubectl runs kubectl on the cluster, and returns what it printed.
func kubectl(ctx context.Context, input string, args ...string) (string, error) {
	line, err := bed.Cluster.KubectlCommandLine(args...)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath(), "KUBECACHEDIR="+filepath.Join(bed.Cluster.Dir(), "kubectl-cache"))
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// mustKubectl is kubectl for what must succeed.
func mustKubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := kubectl(background(t), input, args...)
	must(t, err)
	return out
}

// background returns a context that ends when the test has waited long enough.
func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}

// eventuallyPrints waits until kubectl prints anything, and returns it.
func eventuallyPrints(t *testing.T, args ...string) (got string) {
	t.Helper()
	eventually.Succeed(t, within, "kubectl "+strings.Join(args, " "), func(ctx context.Context) (err error) {
		if got, err = kubectl(ctx, "", args...); err == nil && got == "" {
			err = errors.New("it prints nothing")
		}
		return err
	})
	return got
}

// prints waits until kubectl prints what is wanted.
func prints(t *testing.T, want string, args ...string) {
	t.Helper()
	eventually.Succeed(t, within, "kubectl "+strings.Join(args, " "), func(ctx context.Context) error {
		got, err := kubectl(ctx, "", args...)
		if err == nil && strings.TrimSpace(got) != want {
			err = fmt.Errorf("got %q, want %q", strings.TrimSpace(got), want)
		}
		return err
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
