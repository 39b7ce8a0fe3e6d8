// Package remotebase makes the manifests of the repository a base that kustomize fetches from afar: with git, at
// the tag of a release, as docs/install.md says. It needs no network.
package remotebase

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// New copies config/ of the repository into an empty folder, which becomes a git repository with the tag, and returns
// the address of config/default in it.
func New(ctx context.Context, repo, folder, tag string) (string, error) {
	if err := os.CopyFS(filepath.Join(folder, "config"), os.DirFS(filepath.Join(repo, "config"))); err != nil {
		return "", fmt.Errorf("copying the manifests: %w", err)
	}
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "."},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgSign=false", "commit", "--quiet", "--message=release"},
		{"tag", tag},
	} {
		if out, err := exec.CommandContext(ctx, "git", append([]string{"-C", folder}, args...)...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("making a git repository of the manifests: git %s: %w: %s", args[0], err, out)
		}
	}
	return "file://" + folder + "//config/default?ref=" + tag, nil
}
