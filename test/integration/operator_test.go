package integration

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestStackBringsEverythingAndThenRests(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.installed()
	for _, object := range []client.Object{pool("first-pool"), pool("second-pool"), advertisement("example")} {
		b.exists(object)
	}
	stack := b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonComponentsNotReady)
	if c := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReconciling); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("Reconciling while pods are missing: got %s, want True", conditions(stack))
	}

	b.run()
	stack = b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
	b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionTrue, v1beta1.ReasonAsExpected)
	b.hasCondition(v1beta1.ConditionProgressing, metav1.ConditionFalse, v1beta1.ReasonAsExpected)
	b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionFalse, v1beta1.ReasonAsExpected)
	for _, kind := range []string{v1beta1.ConditionReconciling, v1beta1.ConditionStalled} {
		if c := meta.FindStatusCondition(stack.Status.Conditions, kind); c != nil {
			t.Errorf("%s of a stack that is ready: got %+v, want none", kind, c)
		}
	}
	if stack.Status.Summary != v1beta1.ReasonReady || stack.Status.Version == "" {
		t.Errorf("summary and version: got %q and %q, want Ready and a version", stack.Status.Summary, stack.Status.Version)
	}
	want := []v1beta1.ComponentStatus{
		{Name: "controller", Kind: "Deployment", Desired: 2, Updated: 2, Ready: 2},
		{Name: "speaker", Kind: "DaemonSet", Desired: 3, Updated: 3, Ready: 3},
	}
	if diff := cmp.Diff(want, stack.Status.Components); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	const more = 4 // pools, advertisement, and the ControllerRevision with the templates
	if got, want := len(stack.Status.Inventory), len(components())+more; got != want {
		t.Errorf("inventory: got %d objects, want %d: %+v", got, want, stack.Status.Inventory)
	}

	secret := meshKeySecret()
	b.exists(secret)
	if got := len(secret.Data["key-1"]); got != 32 || len(secret.Data) != 1 {
		t.Errorf("keys of the mesh: got %d entries, key-1 with %d bytes, want one with 32", len(secret.Data), got)
	}

	b.becomesQuiet(3 * time.Second)
}

// becomesQuiet waits until nothing that belongs to the stack has been written for a period. A pass that read the cache before the
// last change reached it may write once more; each such write is logged.
func (b *operatorBed) becomesQuiet(period time.Duration) {
	b.Helper()
	last, since := b.versions(), time.Now()
	eventually.Succeed(b.T, within, fmt.Sprintf("nothing is written for %s while nothing changes", period), func(context.Context) error {
		if now := b.versions(); !maps.Equal(last, now) {
			b.Logf("written after %s: resource versions (-before +now):\n%s\n%s", time.Since(since), cmp.Diff(last, now), b.describe())
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < period {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})
}

// describe returns the conditions of the stack.
func (b *operatorBed) describe() string {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(context.Background(), nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
		return err.Error()
	}
	return conditions(stack)
}

// versions of everything that belongs to the stack, and of the stack.
func (b *operatorBed) versions() map[string]string {
	b.Helper()
	all := map[string]string{}
	for _, object := range append(components(), pool("first-pool"), advertisement("example"), &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}) {
		if err := b.Get(context.Background(), client.ObjectKeyFromObject(object), object); err == nil {
			all[name(object)] = object.GetResourceVersion()
		}
	}
	return all
}

func TestAnnouncingFollowsTheSpec(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	hasArgs := func(want ...string) {
		t.Helper()
		daemonSet := speakerDaemonSet()
		b.becomes(daemonSet, func(client.Object) bool {
			args := daemonSet.Spec.Template.Spec.Containers[0].Args
			return !slices.ContainsFunc(want, func(arg string) bool { return !slices.Contains(args, arg) })
		})
	}
	hasArgs("--failure-detection=default", "--failback=never", "--mesh-port=7575", "--health-probe-bind-address=127.0.0.1:7573", "--metrics-bind-address=:7574")

	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	edit := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"speaker":{"ports":{"mesh":7946}},"layer2":{"failureDetection":"Fast","failback":"Gradual"},"drain":{"taints":["a","b/c"],"labels":[]},
		"l2Advertisements":[{"name":"example","requireSubnet":true,"serviceSelectors":[{"matchLabels":{"public":"yes"}}],
		"preferredNodeSelectors":[{"weight":7,"preference":{"matchLabels":{"edge":"yes"}}}]}]}}`))
	if err := b.Patch(context.Background(), stack, edit); err != nil {
		t.Fatal(err)
	}
	hasArgs("--failure-detection=fast", "--failback=gradual", "--mesh-port=7946", "--health-probe-bind-address=127.0.0.1:7573")
	daemonSet := speakerDaemonSet()
	b.becomes(daemonSet, func(client.Object) bool {
		return slices.ContainsFunc(daemonSet.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == "mesh" && p.HostPort == 7946 })
	})
	ad := advertisement("example")
	b.becomes(ad, func(client.Object) bool {
		return ad.Spec.RequireSubnet && len(ad.Spec.ServiceSelectors) == 1 && len(ad.Spec.PreferredNodeSelectors) == 1 && ad.Spec.PreferredNodeSelectors[0].Weight == 7
	})
}

func TestDriftIsRepaired(t *testing.T) {
	b := newReadyBed(t)

	policy := func() *admissionv1.ValidatingAdmissionPolicy {
		return &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "lbstack-speaker-states"}}
	}
	t.Run("a deleted DaemonSet comes back", func(t *testing.T) {
		old := speakerDaemonSet()
		b.exists(old)
		remove(t, b.Client, speakerDaemonSet())
		b.becomes(speakerDaemonSet(), func(o client.Object) bool { return o.GetUID() != old.UID })
	})
	t.Run("an edited image is put right", func(t *testing.T) {
		daemonSet := speakerDaemonSet()
		b.patch(daemonSet, `{"spec":{"template":{"spec":{"containers":[{"name":"speaker","image":"evil.example/x:1"}]}}}}`)
		b.becomes(daemonSet, func(client.Object) bool { return daemonSet.Spec.Template.Spec.Containers[0].Image == operatorImage })
	})
	t.Run("a node selector that somebody added to the DaemonSet goes", func(t *testing.T) {
		daemonSet := speakerDaemonSet()
		b.patch(daemonSet, `{"spec":{"template":{"spec":{"nodeSelector":{"no-such":"node"}}}}}`)
		b.becomes(daemonSet, func(client.Object) bool { return daemonSet.Spec.Template.Spec.NodeSelector["no-such"] == "" })
	})
	t.Run("a validation that somebody took out of a policy comes back", func(t *testing.T) {
		edited := policy()
		b.exists(edited)
		validations := len(edited.Spec.Validations)
		edited.Spec.Validations = edited.Spec.Validations[1:]
		if err := b.Update(context.Background(), edited); err != nil {
			t.Fatal(err)
		}
		b.becomes(edited, func(client.Object) bool { return len(edited.Spec.Validations) == validations })
	})
	t.Run("a pool gets its addresses back", func(t *testing.T) {
		p := pool("first-pool")
		b.patch(p, `{"spec":{"addresses":["172.16.0.1"],"autoAssign":false}}`)
		b.becomes(p, func(client.Object) bool {
			return len(p.Spec.Addresses) == 1 && p.Spec.Addresses[0] == "192.168.1.240-192.168.1.250" && *p.Spec.AutoAssign
		})
	})
	t.Run("an advertisement that somebody narrowed is wide again", func(t *testing.T) {
		ad := advertisement("example")
		b.patch(ad, `{"spec":{"interfaces":["eth7"],"nodeSelectors":[{"matchLabels":{"no-such":"node"}}],"serviceSelectors":[{"matchLabels":{"no-such":"service"}}],
			"preferredNodeSelectors":[{"weight":1,"preference":{}}],"requireSubnet":true}}`)
		b.becomes(ad, func(client.Object) bool { return reflect.ValueOf(ad.Spec).IsZero() })
	})
	t.Run("a label that somebody took away comes back", func(t *testing.T) {
		edited := policy()
		b.patch(edited, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`)
		b.becomes(edited, func(client.Object) bool { return edited.Labels[v1beta1.LabelManagedBy] == v1beta1.ManagedByOperator })
	})
}

func (b *operatorBed) patch(object client.Object, patch string) {
	b.Helper()
	kind := client.RawPatch("application/strategic-merge-patch+json", []byte(patch))
	switch object.(type) {
	case *v1beta1.IPAddressPool, *v1beta1.L2Advertisement, *v1beta1.BGPPeer:
		kind = client.RawPatch("application/merge-patch+json", []byte(patch))
	}
	if err := b.Patch(context.Background(), object, kind); err != nil {
		b.Fatalf("editing %s: %v", name(object), err)
	}
}

func (b *operatorBed) becomes(object client.Object, right func(client.Object) bool) {
	b.Helper()
	key := client.ObjectKeyFromObject(object)
	eventually.Succeed(b.T, within, name(object)+" is put right", func(ctx context.Context) error {
		// What is left out of an answer must not stay from the one before.
		reflect.ValueOf(object).Elem().SetZero()
		if err := b.Get(ctx, key, object); err != nil {
			return err
		}
		if !right(object) {
			return fmt.Errorf("it is %+v", object)
		}
		return nil
	})
}

func TestAllFieldsOfAnAdvertisementCanBeTakenAway(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	spec := aSpec()
	spec.L2Advertisements[0].IPAddressPools = []v1beta1.ObjectName{"first-pool"}
	b.stack(spec)
	ad := advertisement("example")
	b.becomes(ad, func(client.Object) bool { return len(ad.Spec.IPAddressPools) == 1 })
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.L2Advertisements[0].IPAddressPools = nil })
	ad = advertisement("example")
	b.becomes(ad, func(client.Object) bool { return len(ad.Spec.IPAddressPools) == 0 })
}

func TestStack_PrunesUnwantedObjects(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.exists(pool("second-pool"))
	b.exists(advertisement("example"))
	foreign := pool("by-hand")
	foreign.Spec.Addresses = []v1beta1.AddressRange{"10.77.0.1"}
	foreign.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator} // the label alone is no reason to delete
	create(t, b.Client, foreign)

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.IPAddressPools, s.L2Advertisements = s.IPAddressPools[:1], nil
	})
	b.isGone(pool("second-pool"))
	b.isGone(advertisement("example"))
	b.exists(pool("first-pool"))
	b.exists(pool("by-hand"))
	eventually.Succeed(t, within, "the inventory forgets what is pruned", func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		for _, ref := range stack.Status.Inventory {
			if ref.Name == "second-pool" || ref.Name == "example" || ref.Name == "by-hand" {
				return fmt.Errorf("it has %+v", ref)
			}
		}
		return nil
	})
}

func TestObjectsOfOthersAreNotTouched(t *testing.T) {
	b := newOperatorBed(t)
	foreign := pool("second-pool")
	foreign.Spec.Addresses = []v1beta1.AddressRange{"10.77.0.1"}
	create(t, b.Client, foreign)
	version := foreign.ResourceVersion
	b.operator()
	b.stack(aSpec())
	b.installed() // the rest goes on
	b.exists(pool("first-pool"))
	stack := b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionTrue, v1beta1.ReasonObjectNotOurs)
	message := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady).Message
	if !strings.Contains(message, "IPAddressPool second-pool") || stack.Status.Summary != v1beta1.ReasonObjectNotOurs {
		t.Errorf("summary %q, message %q: want them to name the pool", stack.Status.Summary, message)
	}
	b.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonObjectNotOurs)
	if err := b.Get(context.Background(), nameOnly("second-pool"), foreign); err != nil || foreign.ResourceVersion != version {
		t.Errorf("the foreign pool: got version %s, %v; want %s, untouched", foreign.ResourceVersion, err, version)
	}

	remove(t, b.Client, foreign)
	b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionFalse, v1beta1.ReasonAsExpected)
	b.exists(pool("second-pool"))
}

func TestSpeakersWaitForAKeyThatTheClusterHolds(t *testing.T) {
	b := newOperatorBed(t)
	foreign, daemonSet := meshKeySecret(), speakerDaemonSet()
	foreign.Data = map[string][]byte{"key-1": []byte(strings.Repeat("k", 32))}
	create(t, b.Client, foreign)
	b.operator()
	b.stack(aSpec())
	stack := b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionTrue, v1beta1.ReasonObjectNotOurs)
	if message := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady).Message; !strings.Contains(message, "Secret "+systemNamespace+"/lbstack-mesh-keys") {
		t.Errorf("message: got %q, want it to name the Secret", message)
	}
	eventually.Stays(t, 2*time.Second, "no speaker is started with the key of somebody else", func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKeyFromObject(daemonSet), daemonSet); err == nil {
			return fmt.Errorf("the DaemonSet is there, with %v", daemonSet.Spec.Template.Annotations)
		}
		return nil
	})
	remove(t, b.Client, foreign)
	b.exists(daemonSet)
	b.removeStack()
}

func TestPoolThatGivesNothingDegradesTheStack(t *testing.T) {
	b := newReadyBed(t)
	b.setPoolCondition(metav1.ConditionFalse, v1beta1.ReasonOverlap, "10.9.0.0-10.9.0.15 is also in the pool older")
	stack := b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionTrue, v1beta1.ReasonPoolNotReady)
	message := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady).Message
	if !strings.Contains(message, "second-pool") || !strings.Contains(message, "also in the pool older") {
		t.Errorf("message: got %q, want the pool's name and its own message", message)
	}
	b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionTrue, v1beta1.ReasonAsExpected)
	b.setPoolCondition(metav1.ConditionTrue, v1beta1.ReasonPoolReady, "fine")
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

// setPoolCondition sets the Ready condition of a pool. The controller does not run in these tests.
func (b *operatorBed) setPoolCondition(status metav1.ConditionStatus, reason, message string) {
	b.Helper()
	p := pool("second-pool")
	b.exists(p)
	meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReady, Status: status, Reason: reason, Message: message, ObservedGeneration: p.Generation})
	if err := b.Status().Update(context.Background(), p); err != nil {
		b.Fatal(err)
	}
}
