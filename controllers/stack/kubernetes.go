package stack

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/version"
)

// oldest is the minor version of Kubernetes 1 from which on the operator works: the CRDs
// use CEL functions for addresses, and the policies are of the API version v1.
const oldest = 31

// unsupported says that the cluster's Kubernetes is too old, empty if it is not. The
// version is read until it is new enough once. Where it cannot be read the pass goes on,
// and fails with better words.
func (r *Reconciler) unsupported() string {
	if r.supported || r.Kubernetes == nil {
		return ""
	}
	info, err := r.Kubernetes()
	if err != nil {
		return ""
	}
	reason := tooOld(info)
	r.supported = reason == ""
	return reason
}

func tooOld(info *version.Info) string {
	major, err1 := strconv.Atoi(info.Major)
	minor, err2 := strconv.Atoi(strings.TrimRight(info.Minor, "+"))
	if err1 != nil || err2 != nil || major > 1 || (major == 1 && minor >= oldest) {
		return ""
	}
	return fmt.Sprintf("the API server runs Kubernetes %s: lbstack needs 1.%d or newer, and changes nothing in this cluster: upgrade Kubernetes", info.GitVersion, oldest)
}
