// Package metallb installs MetalLB on a test bed, from what make built of its Go module: its own
// programs, images under its own names, and its own manifest for the native BGP mode. Benchmarks
// compare with it, and tests migrate from it.
package metallb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// Namespace is where MetalLB's components run.
const Namespace = "metallb-system"

// Names of its workloads, which are those of its programs as well.
const (
	Controller = "controller"
	Speaker    = "speaker"
)

// fieldOwner of what is applied here.
const fieldOwner = client.FieldOwner("metallb-installation")

// built is the folder that make builds it in.
func built(bed *scenario.Scenario, name string) string {
	return filepath.Join(bed.Repo, "bin", "metallb", name)
}

// Install loads the images into all nodes, applies MetalLB's manifest and waits until its components
// are ready.
func Install(ctx context.Context, bed *scenario.Scenario) error {
	for _, image := range []string{Controller, Speaker} {
		if err := bed.Cluster.LoadImage(ctx, built(bed, image+".tar")); err != nil {
			return fmt.Errorf("loading MetalLB's image (make bench-peers and make test-migrate build it): %w", err)
		}
	}
	objects, err := manifest(bed)
	if err != nil {
		return err
	}
	if err := Apply(ctx, bed, objects); err != nil {
		return err
	}
	return Ready(ctx, bed)
}

func manifest(bed *scenario.Scenario) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(built(bed, "native.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading MetalLB's manifest (make bench-peers and make test-migrate copy it): %w", err)
	}
	return Parse(text)
}

// Parse reads the objects of a manifest, in its order.
func Parse(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parsing a manifest: %w", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// appliedWithin is for how long an object is tried: the CRDs before it may not be served yet, nor may the webhook
// that validates it.
const appliedWithin = 2 * time.Minute

// Apply applies objects in their order.
func Apply(ctx context.Context, bed *scenario.Scenario, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		if err := applyOne(ctx, bed, object); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

func applyOne(ctx context.Context, bed *scenario.Scenario, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, appliedWithin)
	defer cancel()
	return eventually.Poll(ctx, func(ctx context.Context) error {
		return bed.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), fieldOwner, client.ForceOwnership)
	})
}

// Ready waits until the controller, and a speaker on every node, is ready.
func Ready(ctx context.Context, bed *scenario.Scenario) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		deployment, set := &appsv1.Deployment{}, &appsv1.DaemonSet{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: Controller}, deployment); err != nil {
			return err
		}
		if err := bed.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: Speaker}, set); err != nil {
			return err
		}
		if st := deployment.Status; st.ObservedGeneration < deployment.Generation || st.AvailableReplicas < 1 {
			return fmt.Errorf("MetalLB's controller is not available: %+v", st.Conditions)
		}
		if st := set.Status; st.ObservedGeneration < set.Generation || int(st.NumberReady) < len(bed.Cluster.Nodes()) {
			return fmt.Errorf("%d of %d speakers of MetalLB are ready", st.NumberReady, len(bed.Cluster.Nodes()))
		}
		return nil
	})
}

// Remove deletes all of MetalLB, its CRDs and its configuration included, and waits until its namespace is gone.
func Remove(ctx context.Context, bed *scenario.Scenario) error {
	objects, err := manifest(bed)
	if err != nil {
		return err
	}
	for _, object := range slices.Backward(objects) {
		if err := client.IgnoreNotFound(bed.Client.Delete(ctx, object)); err != nil {
			return fmt.Errorf("deleting %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
		if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the namespace %s is still there: %w", Namespace, err)
		}
		return nil
	})
}
