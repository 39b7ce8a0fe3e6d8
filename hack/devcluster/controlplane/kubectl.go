package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Kubectl runs kubectl as the admin, in the working directory of this process, and returns
// its standard output. The error contains the standard error of kubectl.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) ([]byte, error) {
	all := append([]string{
		"kubectl", "--kubeconfig=" + cp.KubeconfigPath(),
		// The user's cache may have the resources of another cluster for
		// this host and port.
		"--cache-dir=" + cp.filePath(kubectlCacheDir),
	}, args...)
	cmd := exec.CommandContext(ctx, cp.options.Binaries.Kubernetes, all...)
	cmd.Env = append(os.Environ(), "KUBERC=off") // ignores the user's aliases and defaults
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
