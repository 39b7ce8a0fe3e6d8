package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// The CustomResourceDefinitions are those of an earlier version: nothing is touched before a
// person has acted.
func TestStack_OutdatedCRDsChangeNothing(t *testing.T) {
	b := newOperatorBed(t)
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := b.Get(t.Context(), nameOnly("communities.lbstack.io"), crd); err != nil {
		t.Fatal(err)
	}
	current, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	earlier, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, field := range [][]string{{"properties", "communities"}, {"required"}} {
		path := append([]string{"schema", "openAPIV3Schema", "properties", "spec"}, field...)
		unstructured.RemoveNestedField(earlier[0].(map[string]any), path...)
	}
	b.serveCommunity(crd, earlier)
	t.Cleanup(func() { b.serveCommunity(crd, current) })
	b.operator()
	b.stack(aSpec())
	b.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonCRDsOutdated)
	b.shows(v1beta1.ConditionReady, "the API server drops the fields Community.spec.communities", "apply the CustomResourceDefinitions of this version")
	for _, object := range components() {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%s: got %v, want it not to be made", name(object), err)
		}
	}
	b.serveCommunity(crd, current)
	b.installed()
}

// A newer operator began an upgrade, which has not ended: status.version does not show it, and the older
// operator changes nothing before it is permitted.
func TestStack_DowngradeInAnUpgradeIsRefused(t *testing.T) {
	b := newOperatorBed(t)
	newer := b.program("operator@v0.3.0", "0")
	b.stack(aSpec())
	b.installed()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonComponentsNotReady)
	newer.stop(syscall.SIGTERM)
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(t.Context(), nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil || stack.Status.Version != "" {
		t.Fatalf("status.version: got %q, %v, want none", stack.Status.Version, err)
	}
	before := speakerDaemonSet()
	b.exists(before)
	remove(t, b.Client, advertisement("example"))

	b.program("operator@v0.2.0", "0")
	b.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonDowngradeRefused)
	b.shows(v1beta1.ConditionReady, "the operator has version v0.2.0, and the newer version v0.3.0 ran in the cluster", v1beta1.AnnotationAllowDowngrade+"=v0.2.0")
	after, ad := speakerDaemonSet(), advertisement("example")
	b.exists(after)
	if after.ResourceVersion != before.ResourceVersion {
		t.Error("the DaemonSet was written, want nothing changed")
	}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(ad), ad); !apierrors.IsNotFound(err) {
		t.Errorf("the advertisement: got %v, want it not to be made again", err)
	}
	b.annotate(v1beta1.AnnotationAllowDowngrade, new("v0.2.0"))
	b.exists(ad)
}

// serveCommunity replaces the versions of the CRD of Community, and waits until the API server
// publishes their schema.
func (b *operatorBed) serveCommunity(crd *unstructured.Unstructured, versions []any) {
	b.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"versions": versions}})
	if err != nil {
		b.Fatal(err)
	}
	if err := b.Patch(context.Background(), crd, client.RawPatch(types.MergePatchType, patch)); err != nil {
		b.Fatal(err)
	}
	config, err := server.Config()
	if err != nil {
		b.Fatal(err)
	}
	cluster, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	version := versions[0].(map[string]any)
	_, want, _ := unstructured.NestedFieldNoCopy(version, "schema", "openAPIV3Schema", "properties", "spec", "properties", "communities")
	eventually.Succeed(b.T, within, "the schema is published", func(ctx context.Context) error {
		text, err := cluster.RESTClient().Get().AbsPath("/openapi/v3/apis/" + v1beta1.GroupVersion.String()).Do(ctx).Raw()
		if err != nil {
			return err
		}
		var document map[string]any
		if err := json.Unmarshal(text, &document); err != nil {
			return err
		}
		_, has, _ := unstructured.NestedFieldNoCopy(document, "components", "schemas", "io.lbstack.v1beta1.Community", "properties", "spec", "properties", "communities")
		if has != want {
			return fmt.Errorf("the schema of Community has spec.communities: %v, want %v", has, want)
		}
		return nil
	})
}
