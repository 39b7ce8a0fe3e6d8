package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/test/eventually"
)

// serviceMonitors installs the kind ServiceMonitor of the Prometheus operator until the test ends.
func (b *operatorBed) serviceMonitors() *unstructured.Unstructured {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "servicemonitors.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(raw, &crd.Object); err != nil {
		b.Fatal(err)
	}
	if err := b.Create(context.Background(), crd); err != nil {
		b.Fatalf("creating the kind ServiceMonitor: %v", err)
	}
	b.Cleanup(func() {
		remove(b.T, b.Client, crd)
		b.isGone(crd)
	})
	eventually.Succeed(b.T, within, "the kind ServiceMonitor is there", func(ctx context.Context) error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(manifests.ServiceMonitor().GroupVersionKind)
		list.SetKind("ServiceMonitorList")
		return b.List(ctx, list)
	})
	return crd
}

// serviceMonitor is the one of lbstack, as far as its name goes.
func serviceMonitor() *unstructured.Unstructured {
	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(manifests.ServiceMonitor().GroupVersionKind)
	monitor.SetNamespace(systemNamespace)
	monitor.SetName("lbstack")
	return monitor
}

// monitored waits until there is a ServiceMonitor of lbstack in the cluster and in the inventory,
// or in neither.
func (b *operatorBed) monitored(want bool, within time.Duration) *unstructured.Unstructured {
	b.Helper()
	monitor := serviceMonitor()
	eventually.Succeed(b.T, within, fmt.Sprintf("there is a ServiceMonitor: %v", want), func(ctx context.Context) error {
		err := b.Get(ctx, client.ObjectKeyFromObject(monitor), monitor)
		if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
			return err
		}
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); client.IgnoreNotFound(err) != nil {
			return err
		}
		recorded := slices.ContainsFunc(stack.Status.Inventory, func(ref v1beta1.ObjectReference) bool { return ref.Kind == monitor.GetKind() })
		if exists := err == nil; exists != want || recorded != want {
			return fmt.Errorf("it exists: %v, the inventory has it: %v; %s", exists, recorded, conditions(stack))
		}
		return nil
	})
	return monitor
}

// anew has the operator look at all objects, and waits until it has done so.
func (b *operatorBed) anew(value string) {
	b.Helper()
	b.annotate(v1beta1.AnnotationReconcile, &value)
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	b.becomes(stack, func(client.Object) bool { return stack.Status.LastHandledReconcile == value })
}

func TestMonitoring_ServiceMonitorFollowsKindAndSpec(t *testing.T) {
	b := newReadyBed(t)
	b.monitored(false, within)
	crd := b.serviceMonitors()
	monitor := b.monitored(true, 45*time.Second) // the operator looks every 30 s

	before := monitor.GetResourceVersion()
	b.anew("unchanged")
	if got := b.monitored(true, within).GetResourceVersion(); got != before {
		t.Errorf("applying the same again: got the resource version %s, want %s", got, before)
	}

	// Edits of its spec are undone, and labels that a Prometheus selects it by stay.
	edit := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"release":"prometheus"}},"spec":{"jobLabel":"edited"}}`))
	if err := b.Patch(t.Context(), monitor, edit); err != nil {
		t.Fatal(err)
	}
	b.anew("edited")
	monitor = b.monitored(true, within)
	if job, _, _ := unstructured.NestedString(monitor.Object, "spec", "jobLabel"); job != "app.kubernetes.io/part-of" || monitor.GetLabels()["release"] != "prometheus" {
		t.Errorf("after an edit: got the jobLabel %q and the labels %v, want app.kubernetes.io/part-of and the label release", job, monitor.GetLabels())
	}

	// A paused operator restores nothing.
	b.annotate(v1beta1.AnnotationPause, new("repair"))
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionUnknown, v1beta1.ReasonPaused)
	remove(t, b.Client, monitor)
	b.annotate(v1beta1.AnnotationReconcile, new("paused"))
	b.shows(v1beta1.ConditionReady, "1 objects of the stack do not exist: ServiceMonitor lbstack-system/lbstack")
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(monitor), monitor); !apierrors.IsNotFound(err) {
		t.Errorf("while the operator is paused: got the ServiceMonitor with %v, want none", err)
	}
	b.annotate(v1beta1.AnnotationPause, nil)
	b.monitored(true, within)

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Monitoring = v1beta1.MonitoringDisabled })
	b.monitored(false, within)

	// One of somebody else is left alone.
	foreign := serviceMonitor()
	foreign.Object["spec"] = map[string]any{"endpoints": []any{}, "selector": map[string]any{}}
	create(t, b.Client, foreign)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Monitoring = v1beta1.MonitoringAuto })
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonObjectNotOurs)
	remove(t, b.Client, foreign)
	b.monitored(true, within)
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)

	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackRemoved })
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonRemoved)
	b.monitored(false, within)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackManaged })
	b.monitored(true, within)
	b.run()

	// The Prometheus operator is removed, and its kinds with it.
	remove(t, b.Client, crd)
	b.isGone(crd)
	b.anew("no kind")
	b.monitored(false, within)
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

// The kind goes while no operator runs: one that starts, and has never known the kind, removes the
// stack all the same.
func TestMonitoring_KindGoesBeforeTheStack(t *testing.T) {
	b := newOperatorBed(t)
	crd := b.serviceMonitors()
	operator := b.operator()
	b.stack(aSpec())
	b.monitored(true, within)
	crash(operator)
	remove(t, b.Client, crd)
	b.isGone(crd)
	b.operator()
	b.removeStack()
}
