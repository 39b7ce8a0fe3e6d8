// Package crds replaces the CustomResourceDefinitions of a cluster by those of this version. The operator uses
// it only when it is started with --upgrade-crds, in a Job of the Helm chart: Helm installs CRDs, but never
// changes them. Only the ServiceAccount of that Job has the right to change CRDs.
package crds

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/preflight"
)

// Upgrade creates or replaces each CRD in the files of a version. If the API server refuses a CRD, Upgrade
// continues with the next one, and returns all errors at the end. It stops at a file that cannot be read.
//
// A spec is replaced as a whole. With server-side apply, a field that another manager wrote would stay in the
// schema after its removal from the file. Such a manager is, for example, the tool that installed the CRD.
//
// A downgrade loses no object, since the API server refuses a CRD that lacks a version in which objects are
// stored. A downgrade may lose fields. If the components run a newer version, Upgrade therefore changes
// nothing unless the downgrade is permitted (decision 0084).
func Upgrade(ctx context.Context, c client.Client, files fs.FS, version string) error {
	if err := checkDowngrade(ctx, c, version); err != nil {
		return err
	}
	names, err := fs.Glob(files, "crd/bases/*.yaml")
	if err != nil {
		return fmt.Errorf("listing the CRDs of this version: %w", err)
	}
	var failed []error
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return fmt.Errorf("reading the CRD file %s of this version: %w", name, err)
		}
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &crd.Object); err != nil {
			return fmt.Errorf("reading the CRD file %s of this version: %w", name, err)
		}
		if err := createOrReplace(ctx, c, crd); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// checkDowngrade returns an error if the components run a newer version than the given one and the stack does not
// have the annotation that permits a downgrade.
func checkDowngrade(ctx context.Context, c client.Client, version string) error {
	stack := &unstructured.Unstructured{}
	stack.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
	err := c.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading which version of lbstack runs: %w", err)
	}
	complete, _, err := unstructured.NestedString(stack.Object, "status", "version")
	target, _, err2 := unstructured.NestedString(stack.Object, "status", "targetVersion") // set during a rollout
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("reading which version of lbstack runs: %w", err)
	}
	if ran := preflight.NewerVersion([]string{complete, target}, version); ran != "" && stack.GetAnnotations()[v1beta1.AnnotationAllowDowngrade] != version {
		return fmt.Errorf("the components run lbstack %[1]s. The CustomResourceDefinitions of %[2]s may lack fields of %[1]s, and objects would lose these fields, so nothing was changed. "+
			"Stay with %[1]s, or permit the downgrade with `kubectl annotate lbs default %[3]s=%[2]s --overwrite` and try again", ran, version, v1beta1.AnnotationAllowDowngrade)
	}
	return nil
}

func createOrReplace(ctx context.Context, c client.Client, crd *unstructured.Unstructured) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		present := &unstructured.Unstructured{}
		present.SetGroupVersionKind(crd.GroupVersionKind())
		err := c.Get(ctx, client.ObjectKeyFromObject(crd), present)
		if apierrors.IsNotFound(err) {
			if err := c.Create(ctx, crd.DeepCopy()); err != nil {
				return fmt.Errorf("creating the CustomResourceDefinition %s: %w", crd.GetName(), err)
			}
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the CustomResourceDefinition %s: %w", crd.GetName(), err)
		}
		present.Object["spec"] = crd.Object["spec"]
		present.SetAnnotations(mergeMetadata(present.GetAnnotations(), crd.GetAnnotations()))
		present.SetLabels(mergeMetadata(present.GetLabels(), crd.GetLabels()))
		if err := c.Update(ctx, present); err != nil {
			return fmt.Errorf("replacing the spec of the CustomResourceDefinition %s: %w", crd.GetName(), err)
		}
		return nil
	})
}

// mergeMetadata adds the labels or annotations of the CRD in the file to those of the present CRD. The other
// present ones stay, since the tool that installed the CRD may need them.
func mergeMetadata(present, file map[string]string) map[string]string {
	if present == nil {
		present = map[string]string{}
	}
	maps.Copy(present, file)
	return present
}
