package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/apiserver"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestRights_OperatorUsesAllThatItHas has the operator install, change, repair and remove with
// the token of its ServiceAccount, and compares its requests with its roles.
func TestRights_OperatorUsesAllThatItHas(t *testing.T) {
	b := newOperatorBed(t)
	exact := b.rightsOf("operator", forPolicies)
	b.kubeconfig = b.tokenOf("lbstack-operator", "")
	b.withoutLease("lbstack-operator")
	b.serviceMonitors()
	metrics := loopback(t, metricsPort)
	operator := b.operatorServing(metrics)
	b.stack(routersSpec())
	b.installed()
	scraper := metricsReader(newBed(t), "prometheus")
	if _, err := fetch(t.Context(), "https://"+metrics+"/metrics", scraper); err != nil {
		t.Errorf("scraping the operator: %v", err)
	}
	fleet := newFleet(b, "rights-roll")
	fleet.rolled(v1beta1.RolloutComplete)
	b.editStack(debug)
	fleet.rolled(v1beta1.RolloutComplete)
	fleet.haveLevel(t, "debug")
	fleet.stop()
	b.run()
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.LoadBalancerClass = "example.com/rights" })
	b.becomes(controllerDeployment(), func(o client.Object) bool { return o.GetGeneration() > 1 })
	crash(operator)
	b.operator("KUBE_FEATURE_WatchListClient=false") // it lists, as an API server wants that streams no lists

	// Pods that are not made: the reason is in an event.
	daemonSet := speakerDaemonSet()
	b.exists(daemonSet)
	daemonSet.Status = appsv1.DaemonSetStatus{ObservedGeneration: daemonSet.Generation, DesiredNumberScheduled: 3}
	if err := b.Status().Update(t.Context(), daemonSet); err != nil {
		t.Fatal(err)
	}
	// Two events with one reason about a stack that does not change meanwhile are one with a series.
	for i := 0; !slices.ContainsFunc(b.requests("operator"), right{group: "events.k8s.io", resource: "events", verb: "patch"}.uses); i++ {
		if i == 20 {
			t.Fatal("there is no event with a series")
		}
		secret := meshKeySecret()
		b.patch(secret, fmt.Sprintf(`{"data":{"invalid-%d":"AAAA"}}`, i))
		b.becomes(secret, func(client.Object) bool { return len(secret.Data) == 1 })
	}
	// Drift of each kind, and things to remove with the stack.
	for _, object := range append(components(), pool("first-pool"), advertisement("example")) {
		remove(t, b.Client, object)
		b.exists(object)
	}
	b.monitored(true, within)
	create(t, b.Client, &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "rights"}})
	create(t, b.Client, &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "rights-0"}, Node: "rights"})
	b.servedService("rights", "192.168.1.241", true)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.Removal.Addresses, s.Monitoring = v1beta1.AddressesRelease, v1beta1.MonitoringDisabled
		s.IPAddressPools, s.L2Advertisements, s.BGPPeers, s.BGPAdvertisements, s.BFDProfiles, s.Communities = nil, nil, nil, nil, nil, nil
	})
	b.monitored(false, within)
	b.removeStack()

	exact()
}

// forPolicies is what the API server demands of a user that writes a policy with parameters of a
// kind; it is in no request. Without it the policy lbstack-removal is refused.
var forPolicies = right{group: "lbstack.io", resource: "loadbalancerstacks", verb: "get"}

// rightsOf returns a function that compares what a program has asked of the API server since then
// with the roles of its ServiceAccount: nothing was denied, and all was used but for some rights.
func (b *operatorBed) rightsOf(program string, but ...right) (exact func()) {
	b.Helper()
	before := len(b.requests(program))
	return func() {
		b.Helper()
		var made []apiserver.Request
		eventually.Succeed(b.T, within, "the "+program+" uses all rights", func(context.Context) error {
			made = b.requests(program)[before:]
			var unused []string
			for _, right := range rightsIn(b.T, program) {
				if !slices.Contains(but, right) && !slices.ContainsFunc(made, right.uses) {
					unused = append(unused, right.String())
				}
			}
			if len(unused) > 0 {
				return fmt.Errorf("granted and not used: %s", strings.Join(unused, "; "))
			}
			return nil
		})
		for _, r := range made {
			if r.ResponseStatus.Code == 403 {
				b.Errorf("denied: %s %+v", r.Verb, r.ObjectRef)
			}
		}
	}
}

// withoutLease has a program make its Lease, though it ran before.
func (b *operatorBed) withoutLease(name string) {
	b.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name}}
	if err := client.IgnoreNotFound(b.Delete(context.Background(), lease)); err != nil {
		b.Fatal(err)
	}
}

// requests returns those of a program so far.
func (b *operatorBed) requests(program string) []apiserver.Request {
	b.Helper()
	list, err := server.Requests(systemNamespace + ":lbstack-" + program)
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// right is one verb on one resource, of a rule.
type right struct {
	namespace, group, resource, name, verb string
}

func (r right) String() string {
	return fmt.Sprintf("%s %s %q in the group %q, namespace %q", r.verb, r.resource, r.name, r.group, r.namespace)
}

// uses returns whether a request needs the right. To apply an object that does not exist needs
// the right to create.
func (r right) uses(q apiserver.Request) bool {
	resource := q.ObjectRef.Resource
	if q.ObjectRef.Subresource != "" {
		resource += "/" + q.ObjectRef.Subresource
	}
	creates := r.verb == "create" && q.Verb == "patch" && q.ResponseStatus.Code == 201
	return (q.Verb == r.verb || creates) && q.ObjectRef.APIGroup == r.group && resource == r.resource &&
		(r.name == "" || q.ObjectRef.Name == r.name) && (r.namespace == "" || q.ObjectRef.Namespace == r.namespace)
}

// rightsIn lists the rights of a program in the manifests.
func rightsIn(t *testing.T, program string) (list []right) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(server.Repo, "config", "rbac", program+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(document, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range append(slices.Clone(rule.ResourceNames), "")[:max(1, len(rule.ResourceNames))] {
						for _, verb := range rule.Verbs {
							list = append(list, right{role.Namespace, group, resource, name, verb})
						}
					}
				}
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("the %s has no rights", program)
	}
	return list
}

// tokenOf writes a kubeconfig with a token of a ServiceAccount in the namespace of the
// components. With a node the token is bound to a pod there.
func (b *operatorBed) tokenOf(account, node string) string {
	b.Helper()
	request := &authenticationv1.TokenRequest{}
	if node != "" {
		request.Spec.BoundObjectRef = b.podOn(node, account)
	}
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: account}}
	if err := b.SubResource("token").Create(context.Background(), object, request); err != nil {
		b.Fatalf("requesting a token of %s: %v", account, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server.ServerURL(), CertificateAuthorityData: server.CAPEM()}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	path := filepath.Join(b.TempDir(), account)
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		b.Fatal(err)
	}
	return path
}
