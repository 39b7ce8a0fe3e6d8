package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestSamples_BecomeReady: each sample of a kind beside the stack is Ready for the controller, with nothing but the
// other samples and a node. Users of OLM see them as examples, and apply them as they are. The stack is that of
// TestStack_Samples; here its pool stands for it.
func TestSamples_BecomeReady(t *testing.T) {
	b := newBed(t)
	b.controller()
	b.pool("first-pool", "192.168.1.240-192.168.1.250")
	create(t, b.Client, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: b.namespace, Labels: map[string]string{corev1.LabelOSStable: "linux"}}})
	files, err := filepath.Glob(filepath.Join(server.Repo, "config", "samples", "lbstack_v1beta1_*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var samples []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &object.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if object.GetKind() == "LoadBalancerStack" {
			continue
		}
		create(t, b.Client, object)
		samples = append(samples, object)
	}
	if len(samples) < 7 {
		t.Fatalf("%d samples beside the stacks, want seven at least", len(samples))
	}
	eventually.Succeed(t, within, "all samples are Ready", func(ctx context.Context) (err error) {
		for _, sample := range samples {
			err = errors.Join(err, b.isReady(ctx, sample))
		}
		return err
	})
}

// isReady reads an object, and returns an error unless its condition Ready is True for its present spec.
func (b *bed) isReady(ctx context.Context, object *unstructured.Unstructured) error {
	if err := b.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return err
	}
	var status struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &status); err != nil {
		return err
	}
	ready := meta.FindStatusCondition(status.Status.Conditions, v1beta1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != object.GetGeneration() {
		return fmt.Errorf("%s %s: Ready is %+v", object.GetKind(), object.GetName(), ready)
	}
	return nil
}
