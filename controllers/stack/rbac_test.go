package stack

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
)

// resources are those of the kinds that the operator renders.
var resources = map[string]string{
	"Secret": "secrets", "Deployment": "deployments", "DaemonSet": "daemonsets", "PodDisruptionBudget": "poddisruptionbudgets",
	"IPAddressPool": "ipaddresspools", "L2Advertisement": "l2advertisements", "BGPPeer": "bgppeers", "BGPAdvertisement": "bgpadvertisements",
	"BFDProfile": "bfdprofiles", "Community": "communities", "ServiceMonitor": "servicemonitors",
	"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}

func TestOperatorMayWriteWhatItRenders(t *testing.T) {
	cluster, namespaced := rulesOf(t, "operator")
	for _, object := range renderedObjects(t) {
		resource, ok := resources[object.GetKind()]
		if !ok {
			t.Fatalf("the test does not know the resource of %s", object.GetKind())
		}
		have := cluster
		if object.GetNamespace() != "" {
			have = namespaced
		}
		verbs := []string{"get", "create", "patch", "delete"}
		if object.GetKind() != "ServiceMonitor" {
			verbs = append(verbs, "list", "watch")
		}
		for _, verb := range verbs {
			if !covers(have, object.GroupVersionKind().Group, resource, verb, object.GetName()) {
				t.Errorf("the operator may not %s the %s %s", verb, object.GetKind(), object.GetName())
			}
		}
	}
}

// TestRolesAreNarrow checks the rights of all three programs.
func TestRolesAreNarrow(t *testing.T) {
	for _, program := range []string{"operator", "controller", "speaker"} {
		cluster, namespaced := rulesOf(t, program)
		for _, rule := range slices.Concat(cluster, namespaced) {
			if slices.Contains(rule.Resources, "serviceaccounts") && !(slices.Equal(rule.Verbs, []string{"get"}) && len(rule.ResourceNames) > 0) {
				t.Errorf("%s: got %v of the ServiceAccounts %v, want to get named ones at most", program, rule.Verbs, rule.ResourceNames)
			}
			for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
				for _, forbidden := range []string{"*", "escalate", "bind", "impersonate", rbacv1.GroupName} {
					if slices.Contains(list, forbidden) {
						t.Errorf("%s: rule for %v: got %q, want none", program, rule.Resources, forbidden)
					}
				}
			}
		}
		for _, rule := range cluster {
			for _, resource := range []string{"secrets", "pods", "deployments", "daemonsets", "leases"} {
				if slices.Contains(rule.Resources, resource) {
					t.Errorf("%s: got a right on %s of all namespaces, want none", program, resource)
				}
			}
			if slices.Contains(rule.Resources, "namespaces") && slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" && v != "watch" }) {
				t.Errorf("%s: got %v of namespaces, want to read them at most", program, rule.Verbs)
			}
		}
	}
}

// TestRolesForPeople checks that the viewer reads, and the editor writes, every kind of lbstack
// that has a place for it.
func TestRolesForPeople(t *testing.T) {
	crds, err := filepath.Glob("../../config/crd/bases/lbstack.io_*.yaml")
	if err != nil || len(crds) == 0 {
		t.Fatalf("found %d CRDs, %v", len(crds), err)
	}
	viewerRole, editorRole := personRole(t, "lbstack-viewer"), personRole(t, "lbstack-editor")
	viewer, editor := viewerRole.Rules, editorRole.Rules
	const viewers = "rbac.authorization.k8s.io/aggregate-to-view"
	if diff := cmp.Diff([]map[string]string{{viewers: "true"}, nil}, []map[string]string{viewerRole.Labels, editorRole.Labels}); diff != "" {
		t.Errorf("labels of the roles of viewer and editor: the first one alone is a part of view (-want +got):\n%s", diff)
	}
	for _, crd := range crds {
		resource := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(crd), "lbstack.io_"), ".yaml")
		reported := resource == "speakerstates" || resource == "speakerrouteslices" // the speakers write them
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
			reads := verb == "get" || verb == "list" || verb == "watch"
			if got := covers(viewer, "lbstack.io", resource, verb, ""); got != reads {
				t.Errorf("the viewer may %s %s: got %v, want %v", verb, resource, got, reads)
			}
			if got, want := covers(editor, "lbstack.io", resource, verb, ""), reads || !reported; got != want {
				t.Errorf("the editor may %s %s: got %v, want %v", verb, resource, got, want)
			}
		}
	}
	for _, rule := range slices.Concat(viewer, editor) {
		if !slices.Equal(rule.APIGroups, []string{"lbstack.io"}) {
			t.Errorf("a role for people has a right in %v, want lbstack.io alone", rule.APIGroups)
		}
	}
}

func personRole(t *testing.T, name string) rbacv1.ClusterRole {
	t.Helper()
	for _, role := range rolesIn(t, "people") {
		if role.Name == name {
			return role
		}
	}
	t.Fatalf("there is no role %s", name)
	return rbacv1.ClusterRole{}
}

func covers(rules []rbacv1.PolicyRule, group, resource, verb, name string) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name))
	})
}

// rulesOf returns the rules of a program for the cluster and for its namespace.
func rulesOf(t *testing.T, program string) (cluster, namespaced []rbacv1.PolicyRule) {
	t.Helper()
	for _, role := range rolesIn(t, program) {
		switch role.Kind {
		case "ClusterRole":
			cluster = role.Rules
		case "Role":
			namespaced = role.Rules
		}
	}
	if len(cluster) == 0 || len(namespaced) == 0 {
		t.Fatalf("%s: got %d rules for the cluster and %d for the namespace, want some", program, len(cluster), len(namespaced))
	}
	return cluster, namespaced
}

// rolesIn returns the documents of a file of config/rbac; those that are no roles have no rules.
func rolesIn(t *testing.T, file string) (roles []rbacv1.ClusterRole) {
	t.Helper()
	raw, err := os.ReadFile("../../config/rbac/" + file + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(document, &role); err != nil {
			t.Fatal(err)
		}
		roles = append(roles, role)
	}
	return roles
}

func renderedObjects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := manifests.Render(manifests.Options{
		Image: "image:1", Namespace: "lbstack-system", ServiceMonitors: true,
		Spec: v1beta1.LoadBalancerStackSpec{
			IPAddressPools:   []v1beta1.StackIPAddressPool{{Name: "pool", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.1"}}}},
			L2Advertisements: []v1beta1.StackL2Advertisement{{Name: "advertisement"}},
			BGPPeers:         []v1beta1.StackBGPPeer{{Name: "peer"}}, BGPAdvertisements: []v1beta1.StackBGPAdvertisement{{Name: "advertisement"}},
			BFDProfiles: []v1beta1.StackBFDProfile{{Name: "profile"}}, Communities: []v1beta1.StackCommunity{{Name: "communities"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
