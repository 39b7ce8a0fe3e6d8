package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestSpeakerToken_WritesForItsNodeOnly uses tokens as the kubelet gets them for the pods of
// the speakers, against the policies that the operator installs.
func TestSpeakerToken_WritesForItsNodeOnly(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.installed()
	const own, other = "policy-a", "policy-b"
	long := strings.Repeat("a", 150) + "." + strings.Repeat("b", 102)
	base := long[:124] + "x" + long[len(long)-124:]
	nodes := map[string]types.UID{}
	for _, name := range []string{own, other, long} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		create(t, b.Client, node)
		nodes[name] = node.UID
	}
	bound, unbound, ofLong := b.speakerToken(own), b.speakerToken(""), b.speakerToken(long)
	owners := func(node string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node, UID: nodes[node]}}
	}
	slice := func(name, node string) *v1beta1.SpeakerRouteSlice {
		return &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owners(node)}, Node: v1beta1.NodeName(node)}
	}
	for _, node := range []string{own, other} {
		create(t, b.Client, slice(node+"-0", node))
	}
	state := func(node string) *v1beta1.SpeakerState {
		return &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node, OwnerReferences: owners(node)}}
	}
	with := func(object client.Object, change func(client.Object)) client.Object {
		change(object)
		return object
	}
	unowned := func(o client.Object) { o.SetOwnerReferences(nil) }
	ofOther := func(o client.Object) { o.SetOwnerReferences(owners(other)) }
	ofTwo := func(o client.Object) { o.SetOwnerReferences(slices.Concat(owners(own), owners(other))) }
	labeled := func(o client.Object) { o.SetLabels(map[string]string{"a": "b"}) }
	annotated := func(o client.Object) { o.SetAnnotations(map[string]string{"a": strings.Repeat("b", 1000)}) }
	finalized := func(o client.Object) { o.SetFinalizers([]string{"example.com/a"}) }
	creates := func(object client.Object) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)
		}
	}
	writesStatus := func(node string) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			s := state(node)
			if err := b.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
				return err
			}
			s.Status.LiveSpeakers = 7
			return c.Status().Update(ctx, s, client.DryRunAll)
		}
	}
	updates := func(name, node string, changes ...func(client.Object)) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			s := slice(name, "")
			if err := b.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
				return err
			}
			s.Node, s.Routes = v1beta1.NodeName(node), []v1beta1.SpeakerBGPRoute{{Prefix: "192.0.2.1/32"}}
			for _, change := range changes {
				change(s)
			}
			return c.Update(ctx, s, client.DryRunAll)
		}
	}
	deletes := func(name string) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			return c.Delete(ctx, slice(name, ""), client.DryRunAll)
		}
	}
	tests := []struct {
		name    string
		token   client.Client
		act     func(context.Context, client.Client) error
		refusal string // empty: allowed
	}{
		{"own state is created", bound, creates(state(own)), ""},
		{"state of another node is not created", bound, creates(state(other)), "only the SpeakerState of this node"},
		{"status of the own state is written", bound, writesStatus(own), ""},
		{"status of another node's state is not written", bound, writesStatus(other), "only the SpeakerState of this node"},
		{"own slice is created", bound, creates(slice(own+"-1", own)), ""},
		{"slice of another node is not created", bound, creates(slice(other+"-1", other)), "only the SpeakerRouteSlices of this node"},
		{"slice of another node is not created under an own name", bound, creates(slice(own+"-1", other)), "only the SpeakerRouteSlices of this node"},
		{"own slice is not created under the name of another node's", bound, creates(slice(other+"-1", own)), "names its SpeakerRouteSlices after this node"},
		{"own slice is not created under the name of a longer node name", bound, creates(slice(own+"-x-0", own)), "names its SpeakerRouteSlices after this node"},
		{"own slice is not created with a number out of bounds", bound, creates(slice(own+"-512", own)), "a number below 512"},
		{"own slice is not created with a long number", bound, creates(slice(own+"-9999999999999999999999", own)), "a number below 512"},
		{"own slice is not created with a second name of a number", bound, creates(slice(own+"-01", own)), "a number below 512"},
		{"own slice is created with the last number", bound, creates(slice(own+"-511", own)), ""},
		{"slice of a node with a long name is created", ofLong, creates(slice(base+"-511", long)), ""},
		{"slice of a node with a long name is not created under another name", ofLong, creates(slice(long[:240]+"-1", long)), "a number below 512"},
		{"own slice is not created without an owner", bound, creates(with(slice(own+"-1", own), unowned)), "no owner besides the Node"},
		{"own slice is not created for the Node of another one", bound, creates(with(slice(own+"-1", own), ofOther)), "no owner besides the Node"},
		{"own slice is not created for two Nodes", bound, creates(with(slice(own+"-1", own), ofTwo)), "no owner besides the Node"},
		{"own slice is not created with labels", bound, creates(with(slice(own+"-1", own), labeled)), "no labels"},
		{"own slice is not created with annotations", bound, creates(with(slice(own+"-1", own), annotated)), "no labels"},
		{"own slice is not created with finalizers", bound, creates(with(slice(own+"-1", own), finalized)), "no labels"},
		{"own slice does not lose its owner", bound, updates(own+"-0", own, unowned), "no owner besides the Node"},
		{"own slice gets no annotations", bound, updates(own+"-0", own, annotated), "no labels"},
		{"own state is not created without an owner", bound, creates(with(state(own), unowned)), "no owner besides the Node"},
		{"own state is not created for the Node of another one", bound, creates(with(state(own), ofOther)), "no owner besides the Node"},
		{"own state is not created with annotations", bound, creates(with(state(own), annotated)), "no labels"},
		{"own slice is updated", bound, updates(own+"-0", own), ""},
		{"slice of another node is not updated", bound, updates(other+"-0", other), "only the SpeakerRouteSlices of this node"},
		{"slice of another node is not taken over", bound, updates(other+"-0", own), "only the SpeakerRouteSlices of this node"},
		{"own slice is not given away", bound, updates(own+"-0", other), "only the SpeakerRouteSlices of this node"},
		{"own slice is deleted", bound, deletes(own + "-0"), ""},
		{"slice of another node is not deleted", bound, deletes(other + "-0"), "only the SpeakerRouteSlices of this node"},
		{"token without a node creates no state", unbound, creates(state(own)), "names no node"},
		{"token without a node writes no status", unbound, writesStatus(own), "names no node"},
		{"token without a node creates no slice", unbound, creates(slice(own+"-1", own)), "names no node"},
		{"token without a node updates no slice", unbound, updates(own+"-0", own), "names no node"},
		{"token without a node deletes no slice", unbound, deletes(own + "-0"), "names no node"},
		{"administrator writes any state", b.Client, creates(state(other)), ""},
		{"administrator deletes any slice", b.Client, deletes(other + "-0"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "status") {
				for _, node := range []string{own, other} {
					create(t, b.Client, state(node))
				}
			}
			// The API server reads roles and policies a moment after they were written.
			eventually.Succeed(t, within, tt.name, func(ctx context.Context) error {
				err := tt.act(ctx, tt.token)
				switch {
				case tt.refusal == "":
					return err
				case !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") || !strings.Contains(err.Error(), tt.refusal):
					return fmt.Errorf("got %v, want the refusal of a policy with %q", err, tt.refusal)
				}
				return nil
			})
		})
	}
}

// speakerToken returns a client with a token of the speakers' ServiceAccount: bound to a pod
// on a node, or to nothing if there is none.
func (b *operatorBed) speakerToken(node string) client.Client {
	b.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-speaker"}}
	request := &authenticationv1.TokenRequest{}
	if node != "" {
		request.Spec.BoundObjectRef = b.podOn(node, account.Name)
	}
	if err := b.SubResource("token").Create(context.Background(), account, request); err != nil {
		b.Fatalf("requesting a token of the speakers: %v", err)
	}
	admin, err := clientcmd.BuildConfigFromFlags("", server.KubeconfigPath())
	if err != nil {
		b.Fatal(err)
	}
	config := rest.AnonymousClientConfig(admin)
	config.BearerToken = request.Status.Token
	c, err := client.New(config, client.Options{Scheme: b.Scheme()})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// podOn creates a pod of a ServiceAccount on a node, which goes with the test, and returns what a
// token can be bound to.
func (b *operatorBed) podOn(node, account string) *authenticationv1.BoundObjectReference {
	b.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "s-" + node[:min(len(node), 200)]},
		Spec: corev1.PodSpec{
			ServiceAccountName: account, NodeName: node, Containers: []corev1.Container{{Name: "speaker", Image: operatorImage}},
			TerminationGracePeriodSeconds: new(int64(0)), // no kubelet ends it
		},
	}
	create(b.T, b.Client, pod)
	return &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
}
