// Package preflight decides whether a version of lbstack can work in a cluster, from what the
// cluster shows before anything in it is changed. It reads nothing itself. The operator calls it, and
// kubectl lbstack doctor for the version of Kubernetes.
package preflight

import (
	"fmt"
	"strings"

	"github.com/blang/semver/v4"
)

// Problem is a check that failed.
type Problem int

const (
	// None: all checks passed, or could not be made.
	None Problem = iota
	// OldKubernetes: the API server is older than lbstack needs.
	OldKubernetes
	// OldSchema: CustomResourceDefinitions in the cluster lack fields that this version uses.
	OldSchema
	// Downgrade: a newer version of lbstack ran in the cluster.
	Downgrade
)

// Facts are what the cluster shows. A fact that is not known is zero, and is not checked.
type Facts struct {
	// Kubernetes is the minor version of the API server, such as 31. KubernetesVersion is its whole
	// version, such as v1.31.4, for messages.
	Kubernetes        int
	KubernetesVersion string
	// Served are the schemas that the API server has, and Needed those of this version, by kind.
	// A kind that is not served is not checked: its fields are not known.
	Served, Needed map[string]*Schema
	// Ran is the version of lbstack that last ran on all nodes, and Version that of the operator, both as
	// vMAJOR.MINOR.PATCH. AllowedDowngrade is the version that an administrator permits although a newer
	// one ran: the value of the annotation whose key is Permit.
	Ran, Version, AllowedDowngrade, Permit string
}

// OldestKubernetes is the oldest minor version of Kubernetes 1 with which lbstack works: its
// CustomResourceDefinitions use CEL functions for addresses, and its ValidatingAdmissionPolicies are of
// the API version v1.
const OldestKubernetes = 31

// Check returns the first check that fails, and a sentence with what to do. The order is that in
// which the problems can be solved.
func Check(f Facts) (Problem, string) {
	if f.Kubernetes > 0 && f.Kubernetes < OldestKubernetes {
		return OldKubernetes, fmt.Sprintf("the API server runs Kubernetes %s: lbstack needs 1.%d or newer, and changes nothing in this cluster: upgrade Kubernetes", f.KubernetesVersion, OldestKubernetes)
	}
	if IsRefused(f.Ran, f.Version, f.AllowedDowngrade) {
		return Downgrade, fmt.Sprintf("the operator is lbstack %s, and the components run %s: an older version can misread what a newer one stored, so the operator changes nothing: "+
			"install the operator %s or newer, or permit it with the annotation %s=%s", f.Version, f.Ran, f.Ran, f.Permit, f.Version)
	}
	if lacking := lackingFields(f.Served, f.Needed); len(lacking) > 0 {
		return OldSchema, fmt.Sprintf("the CustomResourceDefinitions in the cluster are not those of lbstack %s: the API server drops the fields %s, so the operator changes nothing: "+
			"apply the CustomResourceDefinitions of this version", f.Version, listed(lacking))
	}
	return None, ""
}

// IsRefused reports whether a version is older than the one that ran on all nodes, and is not the one that an
// administrator permits.
func IsRefused(ran, version, allowed string) bool { return isOlder(version, ran) && allowed != version }

// isOlder reports whether a version precedes another one. A version that is no release, such as
// that of a development build, precedes none.
func isOlder(version, other string) bool {
	a, err1 := release(version)
	b, err2 := release(other)
	return err1 == nil && err2 == nil && a.LT(b)
}

func release(version string) (semver.Version, error) {
	v, err := semver.Parse(strings.TrimPrefix(version, "v"))
	if err == nil && v.Major == 0 && v.Minor == 0 && v.Patch == 0 {
		err = fmt.Errorf("%s is no release", version)
	}
	return v, err
}

// maxListed bounds how many fields a sentence lists.
const maxListed = 5

func listed(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
}
