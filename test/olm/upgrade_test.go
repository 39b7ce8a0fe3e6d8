package olm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// hasExtraField returns whether the cluster has the CRD of the earlier release.
func hasExtraField(t *testing.T) bool {
	t.Helper()
	return strings.Contains(mustKubectl(t, "", "get", "crd/communities.lbstack.io", "-o", "jsonpath={.spec.versions[*].schema}"), extraField)
}

// rolledOut waits until all components have the image of a version, and the stack reports it.
func rolledOut(t *testing.T, version string) {
	t.Helper()
	eventually.Succeed(t, within, version+" is rolled out", func(ctx context.Context) error {
		stack, err := componentsOf(ctx, version)
		if err == nil && (stack.Status.Rollout == nil || stack.Status.Rollout.Phase != v1beta1.RolloutComplete) {
			err = fmt.Errorf("the rollout is %+v", stack.Status.Rollout)
		}
		return err
	})
	must(t, bed.StackReady(background(t)))
}

// byHand serves a catalogue with the broken version while the user wants to approve upgrades. The upgrade waits
// until then.
func byHand(t *testing.T, name, folder string) {
	t.Helper()
	mustKubectl(t, "", "-n", namespace, "patch", "subscription/lbstack", "--type=merge", "-p", `{"spec":{"installPlanApproval":"Manual"}}`)
	// The shortest time for a step: the test waits for it to pass.
	patchStack(t, `{"spec":{"speaker":{"rollout":{"stepTimeoutSeconds":60}}}}`)
	serve(t, name, folder)
	prints(t, "UpgradePending "+csvOf(current), "-n", namespace, "get", "subscription/lbstack", "-o", "jsonpath={.status.state} {.status.installedCSV}")
	plan := eventuallyPrints(t, "-n", namespace, "get", "installplans", "-o", "jsonpath={.items[?(@.spec.approved==false)].metadata.name}")
	prints(t, "RequiresApproval "+csvOf(broken), "-n", namespace, "get", "installplan/"+plan, "-o", "jsonpath={.status.phase} {.spec.clusterServiceVersionNames[0]}")
	eventually.Stays(t, 3*time.Second, "the upgrade waits", func(ctx context.Context) error {
		if _, err := kubectl(ctx, "", "-n", namespace, "get", "csv/"+csvOf(broken)); err == nil {
			return fmt.Errorf("%s is there before it was approved", csvOf(broken))
		}
		_, err := componentsOf(ctx, current)
		return err
	})
	mustKubectl(t, "", "-n", namespace, "patch", "installplan/"+plan, "--type=merge", "-p", `{"spec":{"approved":true}}`)
	succeeded(t, broken)
}

func patchStack(t *testing.T, patch string) {
	t.Helper()
	mustKubectl(t, "", "patch", "loadbalancerstack/"+v1beta1.LoadBalancerStackName, "--type=merge", "-p", patch)
}

// rolledBack waits until the operator of the broken version has taken its components back, and the stack reports it.
func rolledBack(t *testing.T) {
	t.Helper()
	eventually.Succeed(t, within, "the broken version is taken back", func(ctx context.Context) error {
		stack, err := componentsOf(ctx, current)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != v1beta1.ReasonRolledBack {
			return fmt.Errorf("Ready is %+v, want False because of %s; the rollout is %+v", ready, v1beta1.ReasonRolledBack, stack.Status.Rollout)
		}
		for _, words := range []string{broken, current, "node"} {
			if !strings.Contains(ready.Message, words) {
				return fmt.Errorf("the message of Ready %q does not name %s", ready.Message, words)
			}
		}
		t.Logf("Ready of the stack: %s: %s", ready.Reason, ready.Message)
		return nil
	})
	// The operator runs, and lets the next version through.
	succeeded(t, broken)
	prints(t, "True", "-n", namespace, "get", "operatorcondition/"+csvOf(broken), "-o", `jsonpath={.spec.conditions[?(@.type=="Upgradeable")].status}`)
}

// componentsOf returns the stack if the pods of controller and speakers are those of a version, one speaker on each
// node, and the stack names that version.
func componentsOf(ctx context.Context, version string) (*v1beta1.LoadBalancerStack, error) {
	stack := &v1beta1.LoadBalancerStack{}
	if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		return nil, err
	}
	if stack.Status.Version != version || stack.Status.ObservedGeneration != stack.Generation {
		return nil, fmt.Errorf("the stack has the version %q, want %s: %s", stack.Status.Version, version, stack.Status.Summary)
	}
	var pods corev1.PodList
	if err := bed.Client.List(ctx, &pods, client.InNamespace(namespace), client.HasLabels{v1beta1.LabelComponent}); err != nil {
		return nil, err
	}
	speakers := 0
	for i := range pods.Items {
		component := pods.Items[i].Labels[v1beta1.LabelComponent]
		if !slices.Contains([]string{"controller", "speaker"}, component) {
			continue
		}
		if component == "speaker" {
			speakers++
		}
		if image := pods.Items[i].Spec.Containers[0].Image; image != imageOf(version) {
			return nil, fmt.Errorf("the pod %s has the image %s, want %s", pods.Items[i].Name, image, imageOf(version))
		}
	}
	if want := len(bed.Cluster.Nodes()); speakers != want {
		return nil, fmt.Errorf("there are %d speakers, want %d", speakers, want)
	}
	return stack, nil
}
