package controlplane

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

// Options say what Start starts. The zero value but for Binaries is useful.
type Options struct {
	Binaries programs.Binaries
	// Dir takes the data, certificates and logs, and must hold none of an earlier
	// control plane. Empty means a temporary one that Stop removes.
	Dir string
	// ServiceCIDRs are the ranges of cluster IPs, one per address family, the
	// primary family first. Empty means 10.96.0.0/16 and fd96::/112.
	ServiceCIDRs []netip.Prefix
	// Log is told about progress, a line each; nil is silence.
	Log io.Writer
	// APIServerFlags come after the package's own flags, which they override.
	APIServerFlags []string
}

func (o Options) withDefaults() Options {
	if len(o.ServiceCIDRs) == 0 {
		o.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd96::/112")}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o
}

// workDir makes the directory of a control plane and says if Stop removes it.
func (o Options) workDir() (dir string, temporary bool, err error) {
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "lbstack-controlplane-")
		if err != nil {
			return "", false, fmt.Errorf("making a directory for the control plane: %w", err)
		}
		return dir, true, nil
	}
	dir, err = filepath.Abs(o.Dir)
	if err != nil {
		return "", false, fmt.Errorf("finding the directory %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", false, fmt.Errorf("making the directory of the control plane: %w", err)
	}
	// Data of an earlier control plane would not fit the new certificates.
	if err := os.Mkdir(filepath.Join(dir, etcdData), 0o700); err != nil {
		return "", false, fmt.Errorf("making the directory of etcd: %w", err)
	}
	return dir, false, nil
}
