package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/config"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/preflight"
)

// serving is a cluster with a stack and the Service shop/web, whose pods are ready on node-1. The user may not
// list objects of the forbidden type.
func serving(t *testing.T, announced metav1.ConditionStatus, forbidden client.ObjectList) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1beta1.AddToScheme(scheme), corev1.AddToScheme(scheme), discoveryv1.AddToScheme(scheme), networkingv1.AddToScheme(scheme), appsv1.AddToScheme(scheme), rbacv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	stack.Status.Summary, stack.Status.Version = "Ready", "v0.1.0"
	stack.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Ready"}}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	svc.Status.Conditions = []metav1.Condition{
		{Type: v1beta1.ServiceAddressAllocated, Status: "True", Reason: "Allocated"},
		{Type: v1beta1.ServiceAnnounced, Status: announced, Reason: "TheReason", Message: "the message"},
	}
	yes, node := true, "node-1"
	endpoints := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
	}
	other := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "internal"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}, {Group: "metallb.io", Version: "v1beta1"}, {Group: "frrk8s.metallb.io", Version: "v1beta1"}, {Group: "cilium.io", Version: "v2"}}) // of kinds that are read without types
	for _, kind := range []string{"Deployment", "DaemonSet"} {
		mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}, meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"ServiceL2Status", "IPAddressPool"} {
		mapper.Add(schema.GroupVersionKind{Group: "metallb.io", Version: "v1beta1", Kind: kind}, meta.RESTScopeNamespace)
	}
	mapper.Add(schema.GroupVersionKind{Group: "frrk8s.metallb.io", Version: "v1beta1", Kind: "FRRConfiguration"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "cilium.io", Version: "v2", Kind: "CiliumLoadBalancerIPPool"}, meta.RESTScopeRoot)
	reader := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).WithObjects(stack, svc, other, endpoints, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if forbidden != nil && typeOf(list) == typeOf(forbidden) {
				return apierrors.NewForbidden(schema.GroupResource{Group: "lbstack.io", Resource: "speakerstates"}, "", nil)
			}
			return c.List(ctx, list, options...)
		},
	}).Build()
	for _, object := range installedRights(t, scheme) {
		if err := reader.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	served := func(context.Context) (map[string]*preflight.Schema, error) { return apiconv.NeededSchemas(scheme), nil }
	return &cluster{flags: genericclioptions.NewConfigFlags(true), api: reader, schemas: served}
}

// installedRights returns the ServiceAccounts, roles and bindings of an installation.
func installedRights(t *testing.T, scheme *runtime.Scheme) (objects []client.Object) {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme).UniversalDeserializer()
	for _, name := range []string{"operator", "controller", "speaker"} {
		text, err := config.Rights.ReadFile("rbac/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			object, _, err := decoder.Decode([]byte(document), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, object.(client.Object))
		}
	}
	return objects
}

type commandOf = func(genericiooptions.IOStreams, *cluster) *cobra.Command

func typeOf(list client.ObjectList) string { return fmt.Sprintf("%T", list) }

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAsk_CommandsWithACluster(t *testing.T) {
	tests := []struct {
		name, args string
		announced  metav1.ConditionStatus
		forbidden  client.ObjectList
		err        string // empty: none
		parts      []string
	}{
		{"a Service that is announced", "why shop/web", "True", nil, "", []string{"shop/web is announced (TheReason)\n  the message\n", "IPv4: ready, on node node-1"}},
		{"a Service that is not", "why shop/web", "False", nil, errCheckFailed.Error(), []string{"shop/web is not announced (TheReason)"}},
		{"all Services, which are announced", "why -A", "True", nil, "", []string{"All 1 Services are announced\n"}},
		{"all Services that are not", "why -A", "False", nil, errCheckFailed.Error(), []string{"shop/web (TheReason): the message\n"}},
		{"all Services that are not, for a program", "why --all-namespaces -o json", "False", nil, errCheckFailed.Error(), []string{`"services": 1`, `"reason": "TheReason"`}},
		{"all Services without a right", "why -A", "True", &corev1.ServiceList{}, "you lack a right", nil},
		{"one Service and all", "why -A shop/web", "True", nil, "pass either a Service or -A", nil},
		{"no Service", "why", "True", nil, "pass either a Service or -A", nil},
		{"the state, of all namespaces", "status -A", "True", nil, "", []string{"Services: 1"}},
		{"the state, and not of all namespaces", "status -A=false", "True", nil, "the command always shows all namespaces: omit the flag", nil},
		{"the state, of what is neither", "status --all-namespaces=shop", "True", nil, "the command always shows all namespaces: omit the flag", nil},
		{"the addresses, of all namespaces", "who -A", "True", nil, errCheckFailed.Error(), []string{"No address.\n"}},
		{"the addresses, and not of all namespaces", "who -A=false", "True", nil, "the command always shows all namespaces: omit the flag", nil},
		{"a Service for a program", "why shop/web -o json", "True", nil, "", []string{`"announced": true`, `"reason": "TheReason"`}},
		{"a Service that does not exist", "why shop/none", "True", nil, `services "none" not found`, nil},
		{"what is no Service", "why a/b/c", "True", nil, `"a/b/c" is not the name of a Service`, nil},
		{"a Service without a right", "why shop/web", "True", &v1beta1.SpeakerStateList{}, "you lack a right: speakerstates.lbstack.io is forbidden", nil},
		{"the state", "status", "True", nil, "", []string{"Ready, lbstack v0.1.0", "Services: 1, of which 0 are not announced"}},
		{"the state with a Service that is not announced", "status", "False", nil, errCheckFailed.Error(), []string{"shop/web (TheReason): the message"}},
		{"the state as YAML", "status -o yaml", "True", nil, "", []string{"ready: true", "services: 1"}},
		{"the state in an unknown format", "status -o xml", "True", nil, "-o xml: there is no such format: use one of json, yaml, wide", nil},
		{"the version of the stack", "version", "True", nil, "", []string{"Stack Version: v0.1.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, _ := genericiooptions.NewTestIOStreams()
			c := serving(t, tt.announced, tt.forbidden)
			args := strings.Fields(tt.args)
			cmd := map[string]commandOf{"why": whyCommand, "status": statusCommand, "who": whoCommand, "version": versionCommand}[args[0]](streams, c)
			cmd.SetArgs(args[1:])
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			err := cmd.ExecuteContext(t.Context())
			if got := errorText(err); (tt.err == "") != (err == nil) || !strings.Contains(got, tt.err) {
				t.Errorf("got the error %q, want %q", got, tt.err)
			}
			for _, part := range tt.parts {
				if !strings.Contains(out.String(), part) {
					t.Errorf("%q is missing in\n%s", part, out)
				}
			}
			if tt.parts == nil && out.Len() > 0 {
				t.Errorf("an error, and the output\n%s", out)
			}
		})
	}
}

// Clusters before Kubernetes 1.33 do not have the kind.
func TestServiceNetworks(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}, "", nil)
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"cluster without the kind", &meta.NoKindMatchError{}, ""},
		{"user without the right", forbidden, "you lack a right: servicecidrs.networking.k8s.io is forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reader := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return tt.err },
			}).Build()
			err := (&cluster{api: reader}).readServiceNetworks(t.Context(), &inspect.Snapshot{})
			if got := errorText(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got the error %q, want %q", got, tt.want)
			}
		})
	}
}
