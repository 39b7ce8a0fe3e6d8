package migrate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestImport_ExcludedInterfaces: an interface that metallb-excludel2 excludes is in no advertisement of the stack, whether the
// pattern is one of MetalLB's manifests or of the user.
func TestImport_ExcludedInterfaces(t *testing.T) {
	type names = []v1beta1.InterfaceName
	for _, tt := range []struct {
		name, patterns, interfaces string
		want                       []names
	}{
		{"no pattern", "", "eth0, virbr0", []names{{"eth0", "virbr0"}}},
		{"pattern of MetalLB and a named interface", `"^virbr.*"`, "eth0, virbr0", []names{{"eth0"}}},
		{"pattern of MetalLB and all interfaces", `"^virbr.*"`, "", []names{nil}},
		{"pattern of MetalLB for each named interface", `"^virbr.*", "^docker.*"`, "docker0, virbr0", nil},
		{"pattern of the user and a named interface", `"^storage"`, "eth0, storage0", []names{{"eth0"}}},
		{"pattern of the user and all interfaces", `"^storage"`, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := importText(t, `apiVersion: v1
kind: ConfigMap
metadata: {namespace: metallb-system, name: metallb-excludel2}
data: {excludel2.yaml: 'announcedInterfacesToExclude: [`+tt.patterns+`]'}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {namespace: metallb-system, name: a}
spec: {interfaces: [`+tt.interfaces+`]}`)
			var got []names
			for _, a := range result.Stack.Spec.L2Advertisements {
				got = append(got, a.Interfaces)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("interfaces of the advertisements (-want +got):\n%s", diff)
			}
		})
	}
}

// TestImport_NotesSessionsOfOneFamily: MetalLB up to 0.14 with FRR announced both families on each session. If a session of the
// stack lacks one of them, the report names it.
func TestImport_NotesSessionsOfOneFamily(t *testing.T) {
	for _, tt := range []struct {
		name, addresses, peer string
		noted                 bool
	}{
		{"IPv6 pools, router by IPv4", "'2001:db8::/120'", "peerAddress: 10.0.0.1", true},
		{"pools of both families", "192.0.2.0/28, '2001:db8::/120'", "peerAddress: 10.0.0.1", true},
		{"pools of the family of the router", "192.0.2.0/28", "peerAddress: 10.0.0.1", false},
		{"disableMP", "'2001:db8::/120'", "peerAddress: 10.0.0.1, disableMP: true", false},
		{"disableMP that is off", "'2001:db8::/120'", "peerAddress: 10.0.0.1, disableMP: false", true},
		{"both families on the session", "'2001:db8::/120'", "peerAddress: 10.0.0.1, dualStackAddressFamily: true", false},
		{"a router by interface", "'2001:db8::/120'", "interface: eth1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := importText(t, `apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {namespace: metallb-system, name: pool}
spec: {addresses: [`+tt.addresses+`]}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {namespace: metallb-system, name: tor}
spec: {myASN: 64500, peerASN: 64501, `+tt.peer+`}`)
			noted := slices.ContainsFunc(result.Report.Notes, func(note string) bool {
				return strings.Contains(note, "both families") && strings.HasSuffix(note, ": tor.")
			})
			if noted != tt.noted || len(result.Stack.Spec.BGPPeers) != 1 {
				t.Errorf("got the notes %q and %d peers, want a note about the families: %t", result.Report.Notes, len(result.Stack.Spec.BGPPeers), tt.noted)
			}
		})
	}
}

// TestImport_UnknownKinds: an object of MetalLB whose kind is not known may be configuration.
func TestImport_UnknownKinds(t *testing.T) {
	for kind, want := range map[string]Outcome{"RoutePolicy": Unmapped, "ServiceL2Status": Ignored, "ServiceBGPStatus": Ignored, "ConfigurationState": Ignored} {
		result := importText(t, "apiVersion: metallb.io/v1beta1\nkind: "+kind+"\nmetadata: {namespace: metallb-system, name: x}\nspec: {a: b}")
		for _, e := range result.Report.Entries {
			if e.Path == "spec.a" && e.Outcome != want {
				t.Errorf("%s: %s is %s, want %s", kind, e.Path, e.Outcome, want)
			}
		}
	}
}

// TestImport_SettingsOfTheSpeaker: MetalLB reads some flags from environment variables as well.
func TestImport_SettingsOfTheSpeaker(t *testing.T) {
	for _, tt := range []struct {
		name, container, path string
		want                  Outcome
	}{
		{"port as a flag", "args: [--ml-bindport=7950]", "args[0]", Unmapped},
		{"port as a flag of two arguments", "args: [--ml-bindport, '7950']", "args[1]", Unmapped},
		{"port as a variable", "env: [{name: METALLB_ML_BIND_PORT, value: '7950'}]", "env[0].value", Unmapped},
		{"default port as a variable", "env: [{name: METALLB_ML_BIND_PORT, value: '7946'}]", "env[0].value", Ignored},
		{"debounce as a flag", "args: [--bgp-debounce-timeout=500]", "args[0]", Unmapped},
		{"debounce as a variable", "env: [{name: METALLB_BGP_DEBOUNCE_TIMEOUT, value: '500'}]", "env[0].value", Unmapped},
		{"slow network", "args: [--ml-wan-config]", "args[0]", Unmapped},
		{"slow network that is off", "args: [--ml-wan-config=false]", "args[0]", Ignored},
		{"a variable about the pod", "env: [{name: METALLB_HOST, value: a}]", "env[0].value", Ignored},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := importText(t, `apiVersion: apps/v1
kind: DaemonSet
metadata: {namespace: metallb-system, name: speaker}
spec: {template: {spec: {containers: [{name: speaker, image: quay.io/metallb/speaker, `+tt.container+`}]}}}`)
			path := "spec.template.spec.containers[0]." + tt.path
			i := slices.IndexFunc(result.Report.Entries, func(e Entry) bool { return e.Path == path })
			if i < 0 || result.Report.Entries[i].Outcome != tt.want {
				t.Errorf("got the entries %+v, want %s: %s", result.Report.Entries, path, tt.want)
			}
		})
	}
}

// TestImport_NotesAliasesThatAreMissing: an advertisement with an alias that no object defines is invalid, and announces nothing.
func TestImport_NotesAliasesThatAreMissing(t *testing.T) {
	for _, tt := range []struct {
		community string
		noted     bool
	}{{"65000:1", false}, {"no-export", false}, {"here", false}, {"elsewhere", true}} {
		result := importText(t, `apiVersion: metallb.io/v1beta1
kind: Community
metadata: {namespace: metallb-system, name: c}
spec: {communities: [{name: here, value: "65000:2"}]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {namespace: metallb-system, name: a}
spec: {communities: ["`+tt.community+`"]}`)
		noted := slices.ContainsFunc(result.Report.Notes, func(note string) bool { return strings.Contains(note, "the community "+tt.community+",") })
		if noted != tt.noted {
			t.Errorf("%s: got the notes %q, want one on the community: %t", tt.community, result.Report.Notes, tt.noted)
		}
	}
}
