package controlplane

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

// Options configure Start. Only Binaries must be set.
type Options struct {
	Binaries programs.Binaries
	// Dir is the directory for data, certificates and logs. It must not contain the data
	// of an earlier control plane. If Dir is empty, the directory is temporary: Stop
	// removes it.
	Dir string
	// ServiceCIDRs has a range of cluster IPs for each address family, the primary
	// family first. If it is empty, the ranges are 10.96.0.0/16 and fd96::/112.
	ServiceCIDRs []netip.Prefix
	// Log receives a line for each step; may be nil.
	Log io.Writer
	// APIServerFlags override the flags that the package sets.
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

// makeWorkDir makes the directory of a control plane. temporary means that Stop
// removes it.
func (o Options) makeWorkDir() (dir string, temporary bool, err error) {
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
	// Mkdir fails if the directory has data of an earlier control plane, which does not
	// match the new certificates.
	if err := os.Mkdir(filepath.Join(dir, etcdDataDir), 0o700); err != nil {
		return "", false, fmt.Errorf("making the directory of etcd: %w", err)
	}
	return dir, false, nil
}
