package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/preflight"
)

// crdProblems checks that the API server serves the kinds of lbstack with all fields that this version uses.
func crdProblems(f *DoctorInput) []string {
	if f.whySchemasUnknown() != "" {
		return nil
	}
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		return []string{fmt.Sprintf("the kinds of lbstack cannot be read: %v: this is a bug in the plugin: report it", err)}
	}
	if problem, message := preflight.Check(preflight.Facts{Served: f.Schemas, Needed: apiconv.NeededSchemas(scheme), Version: f.Plugin}); problem != preflight.None {
		if f.isBeforeUpgrade() {
			message = fmt.Sprintf("an upgrade from lbstack %[2]s to %[1]s needs newer CustomResourceDefinitions: %[3]s", f.Plugin, f.Stack.Status.Version, message)
		}
		return []string{message + ": " + f.reinstallCommand()}
	}
	return nil
}

// isBeforeUpgrade reports whether the plugin is newer than status.version of the stack, and no rollout to a
// third version is in progress. The operator may already have the version of the plugin: as long as the
// CustomResourceDefinitions are older than the operator, it changes nothing, and status.version stays the
// same.
func (f *DoctorInput) isBeforeUpgrade() bool {
	other := f.otherVersion()
	return other != "" && f.nextVersion() == "" && preflight.NewerVersion([]string{f.Plugin}, other) != ""
}

// whySchemasUnknown returns why crdProblems cannot check the CustomResourceDefinitions; empty if it can.
func (f *DoctorInput) whySchemasUnknown() string {
	if f.Schemas == nil {
		return "the API server publishes no schemas"
	}
	if f.isBeforeUpgrade() {
		return ""
	}
	return f.whyNeedsUnknown()
}

// leastMTU is the smallest MTU of an interface with which IPv6 works (RFC 8200 section 5), in bytes. The
// datagrams between speakers fit into it.
const leastMTU = 1280

// mtuProblems checks the MTU of the interfaces on which speakers can announce addresses. If interfaces of one
// network have different MTUs, frames that are too long for the receiver are lost without a report to the
// sender.
func mtuProblems(f *DoctorInput) (problems []string) {
	networks := map[string]map[int32][]string{} // interfaces with their nodes, by subnet and MTU
	for i := range f.States {
		for _, in := range f.States[i].Status.Interfaces {
			if in.MTU == 0 {
				continue
			}
			where := fmt.Sprintf("%s on node %s", in.Name, f.States[i].Name)
			if in.MTU < leastMTU {
				problems = append(problems, fmt.Sprintf("interface %s has an MTU of %d: IPv6 and the speakers need at least %d: run ip link set dev %s mtu 1500", where, in.MTU, leastMTU, in.Name))
				continue
			}
			for _, subnet := range in.Subnets {
				if networks[subnet] == nil {
					networks[subnet] = map[int32][]string{}
				}
				networks[subnet][in.MTU] = append(networks[subnet][in.MTU], where)
			}
		}
	}
	for _, subnet := range slices.Sorted(maps.Keys(networks)) {
		if len(networks[subnet]) > 1 {
			problems = append(problems, differentMTUsMessage(subnet, networks[subnet]))
		}
	}
	return problems
}

// maxListedInterfaces bounds how many interfaces of one MTU a sentence lists.
const maxListedInterfaces = 5

// differentMTUsMessage returns a sentence about the interfaces of a network with different MTUs.
func differentMTUsMessage(subnet string, interfaces map[int32][]string) string {
	sizes := slices.Sorted(maps.Keys(interfaces))
	var parts []string
	for _, mtu := range sizes {
		parts = append(parts, fmt.Sprintf("%d (%s)", mtu, bounded.Names(interfaces[mtu], maxListedInterfaces)))
	}
	return fmt.Sprintf("interfaces in subnet %s have different MTUs: %s: frames that are longer than the MTU of the receiver are lost, so that connections can stall after an address has moved: set the same MTU on all of them, for example with ip link set dev INTERFACE mtu %d",
		subnet, strings.Join(parts, ", "), sizes[0])
}

// whyMTUUnknown returns why the MTU of no interface is known; empty if one is known.
func (f *DoctorInput) whyMTUUnknown() string {
	for i := range f.States {
		for _, in := range f.States[i].Status.Interfaces {
			if in.MTU > 0 {
				return ""
			}
		}
	}
	return "no speaker reports the MTU of an interface"
}
