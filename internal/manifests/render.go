// Package manifests makes the objects that a LoadBalancerStack requests: the objects of the kustomizations in
// package config, adjusted to the spec, and the objects of the lists in the spec. It does not read from the
// cluster.
package manifests

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/config"
)

// Options are the inputs of Render.
type Options struct {
	// Spec is the spec of the stack, with its defaults.
	Spec v1beta1.LoadBalancerStackSpec
	// Image is the container image with the programs of the components.
	Image string
	// Namespace is the namespace of the operator and the components.
	Namespace string
	// ServiceMonitors means that the API server has the kind ServiceMonitor.
	ServiceMonitors bool
	// Accounts has the UIDs of the components' ServiceAccounts, by component. A UID becomes an annotation of
	// the pod template. A component without a UID gets no such annotation.
	Accounts map[string]types.UID
}

// Render returns all objects of the stack in the order of their installation. The same options give the same
// objects. If the error is an InvalidError, Render returns objects as well. With any other error it returns
// none.
func Render(o Options) ([]*unstructured.Unstructured, error) {
	built, err := builtObjects()
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	monitored := o.ServiceMonitors && o.Spec.Monitoring != v1beta1.MonitoringDisabled
	for _, object := range built {
		if object.GroupVersionKind() == ServiceMonitor().GroupVersionKind && !monitored {
			continue
		}
		objects = append(objects, object.DeepCopy())
	}
	for _, object := range objects {
		if err := applySpec(object, o); err != nil {
			return nil, fmt.Errorf("adjusting the %s %s to the spec: %w", object.GetKind(), object.GetName(), err)
		}
	}
	generated, err := generateObjects(o)
	if err != nil {
		return nil, err
	}
	objects = append(objects, generated...)
	for _, object := range objects {
		if err := setOwnMetadata(object, o.Namespace); err != nil {
			return nil, err
		}
	}
	sortForInstall(objects)
	if invalid := append(checkKeys(o.Spec), applyPatches(objects, o.Spec.Patches)...); len(invalid) > 0 {
		return objects, &InvalidError{Fields: invalid}
	}
	return objects, nil
}

// builtObjects returns the result of buildObjects, and calls buildObjects only once. The result is
// always the same. Further calls would be slow. Concurrent calls would not be safe, since kustomize has
// global state without a lock (kubernetes-sigs/kustomize#3659).
var builtObjects = sync.OnceValues(buildObjects)

// buildObjects runs kustomize on the embedded kustomizations. kustomize gets no input of a user: Render
// applies the spec afterwards.
func buildObjects() (objects []*unstructured.Unstructured, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kustomize panicked: %v", r)
		}
	}()
	disk, err := memoryFileSystem(config.Files)
	if err != nil {
		return nil, err
	}
	for _, component := range []string{componentController, componentSpeaker, "removal", "monitoring"} {
		resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, component)
		if err != nil {
			return nil, fmt.Errorf("building the manifests in config/%s: %w", component, err)
		}
		for _, resource := range resources.Resources() {
			object, err := toUnstructured(resource)
			if err != nil {
				return nil, fmt.Errorf("reading the manifest of %s: %w", resource.CurId(), err)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

func memoryFileSystem(files fs.FS) (filesys.FileSystem, error) {
	disk := filesys.MakeFsInMemory()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return disk.WriteFile(path, content)
	})
	if err != nil {
		return nil, fmt.Errorf("copying the embedded manifests: %w", err)
	}
	return disk, nil
}

// toUnstructured converts an object of kustomize through JSON. The maps of kustomize have Go types with which
// an unstructured object could not be copied.
func toUnstructured(resource json.Marshaler) (*unstructured.Unstructured, error) {
	raw, err := resource.MarshalJSON()
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return object, nil
}
