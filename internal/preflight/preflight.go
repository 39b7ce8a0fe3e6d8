// Package preflight decides whether a version of lbstack can work in a cluster. Its callers collect the
// facts about the cluster, and change nothing in the cluster before the decision. The operator calls
// this package. So does kubectl lbstack doctor, for the version of Kubernetes and the schemas.
package preflight

import (
	"fmt"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/lbstack/lbstack/internal/bounded"
)

// Problem is a check that failed.
type Problem int

const (
	// None: all checks passed, or could not be made.
	None Problem = iota
	// OldKubernetes: the API server is older than lbstack needs.
	OldKubernetes
	// OldSchema: the cluster lacks CustomResourceDefinitions, or fields in them, that this version uses.
	OldSchema
	// Downgrade: a newer version of lbstack ran in the cluster.
	Downgrade
)

// Facts are facts about the cluster. A fact that is not known is zero, and is not checked.
type Facts struct {
	// Kubernetes is the minor version of the API server, such as 31.
	Kubernetes int
	// KubernetesVersion is the whole version of the API server, such as v1.31.4, for messages.
	KubernetesVersion string
	// Served are the schemas that the API server has, by kind; nil: they are not known.
	Served map[string]*Schema
	// Needed are the schemas of this version of lbstack, by kind.
	Needed map[string]*Schema
	// Ran are the versions of lbstack that are known to have written to the cluster, as vMAJOR.MINOR.PATCH.
	Ran []string
	// Version is the version of the operator, in the same form.
	Version string
	// AllowedDowngrade is the version that an administrator permits although a newer version ran.
	AllowedDowngrade string
	// Permit is the key of the annotation whose value is AllowedDowngrade.
	Permit string
}

// OldestKubernetesMinor is the oldest minor version of Kubernetes 1 with which lbstack works: its
// CustomResourceDefinitions use CEL functions for addresses, and its ValidatingAdmissionPolicies are of
// the API version v1.
const OldestKubernetesMinor = 31

// Check returns the first problem, and a sentence with what to do. The checks are in the order in which
// an administrator can solve their problems.
func Check(f Facts) (Problem, string) {
	if f.Kubernetes > 0 && f.Kubernetes < OldestKubernetesMinor {
		return OldKubernetes, fmt.Sprintf("the API server runs Kubernetes %s: lbstack needs 1.%d or newer, and changes nothing in this cluster: upgrade Kubernetes", f.KubernetesVersion, OldestKubernetesMinor)
	}
	if ran := NewerVersion(f.Ran, f.Version); ran != "" && f.AllowedDowngrade != f.Version {
		return Downgrade, fmt.Sprintf("the operator has version %s, and the newer version %s ran in the cluster. An older version can misread what a newer version stored, so the operator changes nothing. "+
			"Upgrade the operator to %s or newer, or permit the downgrade with the annotation %s=%s of the LoadBalancerStack", f.Version, ran, ran, f.Permit, f.Version)
	}
	if absent := absentKinds(f.Served, f.Needed); len(absent) > 0 {
		return OldSchema, fmt.Sprintf("the cluster lacks CustomResourceDefinitions of lbstack %s, for the kinds %s, so the operator changes nothing: "+
			"apply the CustomResourceDefinitions of this version", f.Version, listNames(absent))
	}
	if lacking := lackingFields(f.Served, f.Needed); len(lacking) > 0 {
		return OldSchema, fmt.Sprintf("the CustomResourceDefinitions in the cluster are not those of lbstack %s: the API server drops the fields %s, so the operator changes nothing: "+
			"apply the CustomResourceDefinitions of this version", f.Version, listNames(lacking))
	}
	return None, ""
}

// NewerVersion returns the newest of the versions in ran that are newer than version; empty: there is
// none. It ignores versions that are not releases.
func NewerVersion(ran []string, version string) (newest string) {
	for _, other := range ran {
		if isOlder(version, other) && (newest == "" || isOlder(newest, other)) {
			newest = other
		}
	}
	return newest
}

// isOlder reports whether a version precedes another one. A version that is not a release, such as that
// of a development build, does not precede any version.
func isOlder(version, other string) bool {
	a, err1 := parseRelease(version)
	b, err2 := parseRelease(other)
	return err1 == nil && err2 == nil && a.LT(b)
}

func parseRelease(version string) (semver.Version, error) {
	v, err := semver.Parse(strings.TrimPrefix(version, "v"))
	if err == nil && v.Major == 0 && v.Minor == 0 && v.Patch == 0 {
		err = fmt.Errorf("%s is no release", version)
	}
	return v, err
}

// maxListedFields bounds how many fields or kinds a sentence lists.
const maxListedFields = 5

func listNames(names []string) string { return bounded.Names(names, maxListedFields) }
