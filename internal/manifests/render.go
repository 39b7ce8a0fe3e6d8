// Package manifests makes the objects that a LoadBalancerStack requests: the
// kustomizations of package config, adjusted to the spec. It reads no cluster.
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

// Options are what the objects depend on.
type Options struct {
	// Spec is the spec of the stack, with its defaults.
	Spec v1beta1.LoadBalancerStackSpec
	// Image has the programs of the components.
	Image string
	// Namespace of the operator and the components.
	Namespace string
	// ServiceMonitors means that the API server has this kind.
	ServiceMonitors bool
	// Accounts are the UIDs of the ServiceAccounts of the components, by component. They become
	// annotations of the pod templates; a component without one has no such annotation.
	Accounts map[string]types.UID
}

// Render returns every object of the stack, in the order in which they are
// installed. The same options give the same objects. An InvalidError comes with
// objects, any other error without.
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

// builtObjects returns the result of buildObjects, which is the same each time. buildObjects runs
// once: kustomize is slow, and has global state that it does not guard
// (kubernetes-sigs/kustomize#3659).
var builtObjects = sync.OnceValues(buildObjects)

// buildObjects runs kustomize over the embedded kustomizations. It gets no input of a
// user: the spec is applied afterwards.
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
			return nil, fmt.Errorf("building the manifests of the %s: %w", component, err)
		}
		for _, resource := range resources.Resources() {
			object, err := toUnstructured(resource)
			if err != nil {
				return nil, fmt.Errorf("reading the built %s: %w", resource.CurId(), err)
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

// toUnstructured converts through JSON, because kustomize's own maps have Go types
// with which unstructured objects cannot be copied.
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
