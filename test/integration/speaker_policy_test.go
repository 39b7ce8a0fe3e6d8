package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	for _, node := range []string{own, other} {
		create(t, b.Client, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}})
	}
	bound, unbound := b.speakerToken(own), b.speakerToken("")
	slice := func(name, node string) *v1beta1.SpeakerRouteSlice {
		return &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: name}, Node: v1beta1.NodeName(node)}
	}
	for _, node := range []string{own, other} {
		create(t, b.Client, slice(node+"-0", node))
	}
	state := func(node string) *v1beta1.SpeakerState {
		return &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node}}
	}
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
	updates := func(name, node string) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			s := slice(name, "")
			if err := b.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
				return err
			}
			s.Node, s.Routes = v1beta1.NodeName(node), []v1beta1.SpeakerBGPRoute{{Prefix: "192.0.2.1/32"}}
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
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "speaker-" + node},
			Spec: corev1.PodSpec{
				ServiceAccountName: account.Name, NodeName: node, Containers: []corev1.Container{{Name: "speaker", Image: operatorImage}},
				TerminationGracePeriodSeconds: new(int64(0)), // no kubelet ends it
			},
		}
		create(b.T, b.Client, pod)
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
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
