package stack

import (
	"os"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
)

// TestTheOperatorMayDoWhatItGrants keeps the operator's ClusterRole from
// falling behind: the API server refuses to create a role that holds more than
// its creator has, unless that one may "escalate".
func TestTheOperatorMayDoWhatItGrants(t *testing.T) {
	have := operatorRules(t)
	for _, object := range renderedObjects(t) {
		for _, rule := range rulesOf(t, object) {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, name := range names(rule) {
							if !covers(have, group, resource, verb, name) {
								t.Errorf("%s %s grants %s of %s %q in %q: the operator's ClusterRole does not have it", object.GetKind(), object.GetName(), verb, resource, name, group)
							}
						}
					}
				}
			}
		}
	}
}

func TestTheOperatorMayWriteWhatItRenders(t *testing.T) {
	plural := map[string]string{
		"Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "Secret": "secrets",
		"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "RoleBinding": "rolebindings",
		"IPAddressPool": "ipaddresspools", "L2Advertisement": "l2advertisements", "BGPPeer": "bgppeers", "BGPAdvertisement": "bgpadvertisements",
		"BFDProfile": "bfdprofiles", "Community": "communities", "Deployment": "deployments", "DaemonSet": "daemonsets",
		"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
	}
	have := operatorRules(t)
	for _, object := range renderedObjects(t) {
		resource, ok := plural[object.GetKind()]
		if !ok {
			t.Fatalf("the test does not know the resource of %s", object.GetKind())
		}
		for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
			if !covers(have, object.GroupVersionKind().Group, resource, verb, object.GetName()) {
				t.Errorf("the operator may not %s the %s %s", verb, object.GetKind(), object.GetName())
			}
		}
	}
}

// What an earlier version made is in the inventory, and is removed: without the rights to that no
// upgrade ends.
func TestTheOperatorMayRemoveWhatEarlierVersionsMade(t *testing.T) {
	for _, name := range []string{"lbstack-memberlist"} {
		for _, verb := range []string{"get", "delete"} {
			if !covers(operatorRules(t), "", "secrets", verb, name) {
				t.Errorf("the operator may not %s the Secret %s", verb, name)
			}
		}
	}
}

// TestTheOperatorMayBindWhatItBinds is for roles that are installed with the operator
// and hold what it does not have itself.
func TestTheOperatorMayBindWhatItBinds(t *testing.T) {
	have, rendered := operatorRules(t), renderedObjects(t)
	for _, object := range rendered {
		if object.GetKind() != "RoleBinding" && object.GetKind() != "ClusterRoleBinding" {
			continue
		}
		kind, _, _ := unstructured.NestedString(object.Object, "roleRef", "kind")
		name, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
		ownRole := slices.ContainsFunc(rendered, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
		if !ownRole && !covers(have, rbacv1.GroupName, "clusterroles", "bind", name) {
			t.Errorf("%s %s: the operator may not bind the %s %s", object.GetKind(), object.GetName(), kind, name)
		}
	}
}

// installedRole may be bound by the operator, and only that one.
const installedRole = "lbstack-controller-secrets"

func TestTheOperatorsRoleIsNarrow(t *testing.T) {
	for _, rule := range operatorRules(t) {
		if slices.Equal(rule.Resources, []string{"clusterroles"}) && slices.Equal(rule.ResourceNames, []string{installedRole}) && slices.Equal(rule.Verbs, []string{"bind"}) {
			continue
		}
		for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			for _, forbidden := range []string{"*", "escalate", "bind", "impersonate"} {
				if slices.Contains(list, forbidden) {
					t.Errorf("rule for %v: got %q, want none", rule.Resources, forbidden)
				}
			}
		}
	}
}

// names that a rule is about; an empty one stands for all.
func names(rule rbacv1.PolicyRule) []string {
	if len(rule.ResourceNames) == 0 {
		return []string{""}
	}
	return rule.ResourceNames
}

func covers(rules []rbacv1.PolicyRule, group, resource, verb, name string) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name))
	})
}

func operatorRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	raw, err := os.ReadFile("../../config/rbac/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(raw, &role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

func rulesOf(t *testing.T, object *unstructured.Unstructured) []rbacv1.PolicyRule {
	t.Helper()
	if object.GetKind() != "ClusterRole" && object.GetKind() != "Role" {
		return nil
	}
	var role rbacv1.ClusterRole
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

func renderedObjects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := manifests.Render(manifests.Options{
		Image: "image:1",
		Spec: v1beta1.LoadBalancerStackSpec{
			Namespace:        "lbstack-system",
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
