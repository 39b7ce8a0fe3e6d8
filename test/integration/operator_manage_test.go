package integration

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// annotate sets an annotation of the stack, or removes it.
func (b *operatorBed) annotate(key string, value *string) {
	b.Helper()
	text := "null"
	if value != nil {
		text = fmt.Sprintf("%q", *value)
	}
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, key, text))
	if err := b.Patch(context.Background(), stack, patch); err != nil {
		b.Fatal(err)
	}
}

// nothingIsWritten checks that no object of the stack changes, and that the status of the stack comes to rest.
func (b *operatorBed) nothingIsWritten() {
	b.Helper()
	before := b.versions()
	eventually.Stays(b.T, 2*time.Second, "nothing is written", func(context.Context) error {
		if now := b.versions(); !maps.Equal(before, now) {
			return fmt.Errorf("resource versions (-before +now):\n%s", cmp.Diff(before, now))
		}
		return nil
	})
}

func TestStack_RestrainedOperatorWritesOnlyStatus(t *testing.T) {
	b := newReadyBed(t)
	managed := func(state v1beta1.ManagementState) func() {
		return func() { b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = state }) }
	}
	tests := []struct {
		name, reason, words string
		restrain, release   func()
	}{
		{name: "paused", reason: v1beta1.ReasonPaused, words: "the annotation lbstack.io/pause is set",
			restrain: func() { b.annotate(v1beta1.AnnotationPause, new("repair")) }, release: func() { b.annotate(v1beta1.AnnotationPause, nil) }},
		{name: "unmanaged", reason: v1beta1.ReasonUnmanaged, words: "spec.managementState is Unmanaged", restrain: managed(v1beta1.StackUnmanaged), release: managed(v1beta1.StackManaged)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.restrain()
			b.hasCondition(v1beta1.ConditionReady, metav1.ConditionUnknown, tt.reason)
			b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionTrue, v1beta1.ReasonAsExpected)
			// An edit, a deletion and a change of the spec.
			daemonSet := speakerDaemonSet()
			b.patch(daemonSet, `{"spec":{"template":{"spec":{"nodeSelector":{"no-such":"node"}}}}}`)
			remove(t, b.Client, advertisement("example"))
			b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
				s.LoadBalancerClass = "example.com/" + tt.name
				s.IPAddressPools = s.IPAddressPools[:1]
			})
			b.hasCondition(v1beta1.ConditionReady, metav1.ConditionUnknown, tt.reason)
			b.shows(v1beta1.ConditionReady, tt.words, "1 objects of the stack do not exist: L2Advertisement example")
			b.nothingIsWritten()
			b.exists(pool("second-pool"))

			tt.release()
			b.becomes(daemonSet, func(client.Object) bool { return daemonSet.Spec.Template.Spec.NodeSelector["no-such"] == "" })
			b.exists(advertisement("example"))
			b.isGone(pool("second-pool"))
			deployment := controllerDeployment()
			b.becomes(deployment, func(client.Object) bool {
				return strings.Contains(strings.Join(deployment.Spec.Template.Spec.Containers[0].Args, " "), "example.com/"+tt.name)
			})
			b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.IPAddressPools = aSpec().IPAddressPools })
			b.exists(pool("second-pool"))
			b.run()
			b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
		})
	}
	t.Run("deletion waits", func(t *testing.T) {
		b.annotate(v1beta1.AnnotationPause, new(""))
		remove(t, b.Client, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}})
		b.shows(v1beta1.ConditionReady, "until then, the LoadBalancerStack is not deleted")
		b.exists(speakerDaemonSet())
		b.annotate(v1beta1.AnnotationPause, nil)
		b.isGone(speakerDaemonSet())
		b.removeStack()
	})
}

func TestStack_RemovedStays(t *testing.T) {
	b := newOperatorBed(t)
	operator := b.operator()
	b.stack(aSpec())
	b.installed()
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
	served := b.servedService("removed", "192.168.1.242", true)
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	create(t, b.Client, state)

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackRemoved })
	stack := b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonRemoved)
	b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionFalse, v1beta1.ReasonRemoved)
	if len(stack.Finalizers) > 0 || len(stack.Status.Inventory) > 0 || len(stack.Status.Components) > 0 || stack.Status.Version != "" {
		t.Errorf("got finalizers %v and the status %+v, want neither finalizer nor inventory, components and version", stack.Finalizers, stack.Status)
	}
	for _, object := range append(components(), pool("first-pool"), pool("second-pool"), advertisement("example"), state) {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%s after the removal: got %v, want it gone", name(object), err)
		}
	}
	if b.refresh(served); ingress(served) != "" || allocated(served) != nil {
		t.Errorf("the Service: got the address %q and %s, want none", ingress(served), allocatedText(served))
	}
	b.nothingIsWritten()

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackManaged })
	b.installed()
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackRemoved })
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonRemoved)
	crash(operator)
	b.removeStack() // no operator is needed for that
}

func TestStack_AddressesOutliveTheRemoval(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy v1beta1.AddressRemoval
		shown  string // after the removal
		// crds: the claims are deleted after the removal, as the deletion of their CRD does.
		crds   bool
		want   string
		claims int // after the removal
	}{
		{name: "kept by default", want: "192.168.1.241", claims: 1},
		{name: "kept without claims", crds: true, want: "192.168.1.241", claims: 1},
		{name: "released", policy: v1beta1.AddressesRelease, want: "192.168.1.240"},
		{name: "handed over to another load balancer", policy: v1beta1.AddressesHandOver, shown: "192.168.1.241", want: "192.168.1.241"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newOperatorBed(t)
			b.operator()
			spec := aSpec()
			spec.Removal.Addresses = tt.policy
			b.stack(spec)
			b.installed()
			corner := newBed(t)
			controller := corner.controller()
			first := corner.service("first", annotated(v1beta1.AnnotationAddressPool, "first-pool"))
			corner.has("first", "192.168.1.240")
			corner.service("second", annotated(v1beta1.AnnotationAddressPool, "first-pool"))
			corner.has("second", "192.168.1.241")
			remove(t, b.Client, first)
			b.isGone(claimOf("192.168.1.240", nil))
			crash(controller) // its Deployment is not run here

			b.removeStack()
			second, err := corner.get(t.Context(), "second")
			if err != nil || ingress(second) != tt.shown || allocated(second) != nil {
				t.Fatalf("the Service after the removal: got %q, %s, %v, want the address %q and no condition", ingress(second), allocatedText(second), err, tt.shown)
			}
			var claims v1beta1.IPAddressClaimList
			if err := b.List(t.Context(), &claims); err != nil || len(claims.Items) != tt.claims {
				t.Errorf("got %d claims after the removal, %v, want %d", len(claims.Items), err, tt.claims)
			}
			if tt.crds {
				remove(t, b.Client, claimOf("192.168.1.241", nil))
			}
			b.stack(spec)
			b.installed()
			corner.controller()
			corner.has("second", tt.want)
			if second, err := corner.get(t.Context(), "second"); err != nil || second.Annotations[v1beta1.AnnotationKeptAddresses] != "" {
				t.Errorf("the Service with its address: got %v, %v, want no annotation of a removal", second.Annotations, err)
			}
		})
	}
}

func TestStack_ForcedPassAppliesEveryObject(t *testing.T) {
	b := newReadyBed(t)
	before := b.rests()
	stack := &v1beta1.LoadBalancerStack{}
	b.annotate(v1beta1.AnnotationReconcile, new("2026-11-29T12:00:00Z"))
	eventually.Succeed(t, within, "the value is reported", func(ctx context.Context) error {
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		if got := stack.Status.LastHandledReconcile; got != "2026-11-29T12:00:00Z" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	if got, want := b.applied(t.Context())-before, len(stack.Status.Inventory); got < want {
		t.Errorf("got %d objects applied in a forced pass, want each of %d", got, want)
	}
	b.nothingIsWritten()
}

func TestStack_InvalidPatchChangesNothing(t *testing.T) {
	b := newReadyBed(t)
	daemonSet := speakerDaemonSet()
	b.exists(daemonSet)
	generation := daemonSet.Generation
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.IPAddressPools = s.IPAddressPools[:1]
		s.Patches = []v1beta1.Patch{
			{Target: v1beta1.PatchTarget{Kind: "DaemonSet"}, Patch: "spec: {template: {spec: {containers: [{name: speaker, lifecycle: {preStop: {sleep: {seconds: 5}}}}]}}}"},
			{Target: v1beta1.PatchTarget{Kind: "DaemonSet", Name: "speaker"}, Patch: "{}"},
		}
	})
	stack := b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonSpecInvalid)
	b.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonSpecInvalid)
	b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionTrue, v1beta1.ReasonAsExpected)
	want := "spec.patches[1].target: lbstack makes no DaemonSet speaker; nothing in the cluster is changed: correct the kind or the name"
	if got := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady).Message; got != want {
		t.Errorf("Ready: got the message %q, want %q", got, want)
	}
	b.shows(v1beta1.ConditionConfigurationValid, "spec.patches[1].target: ")
	b.nothingIsWritten()
	b.exists(pool("second-pool"))
	if b.exists(daemonSet); daemonSet.Generation != generation {
		t.Errorf("the DaemonSet has the generation %d, want %d", daemonSet.Generation, generation)
	}
	b.nodeIs(b.node("patched"), corev1.ConditionUnknown) // what is around the stack is still reported
	b.shows(v1beta1.ConditionReady, want, "patched (NodeNotReady)")

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Patches[1].Target.Name = "lbstack-speaker" })
	b.becomes(daemonSet, func(client.Object) bool {
		hook := daemonSet.Spec.Template.Spec.Containers[0].Lifecycle
		return hook != nil && hook.PreStop.Sleep.Seconds == 5
	})
	b.isGone(pool("second-pool"))
	// A field that the patch no longer sets goes.
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Patches = nil })
	b.becomes(daemonSet, func(client.Object) bool { return daemonSet.Spec.Template.Spec.Containers[0].Lifecycle == nil })
}
