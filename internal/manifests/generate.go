package manifests

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// MeshKeysSecretName is the name of the Secret with the keys of the mesh, in the namespace of the components.
// Render returns the Secret without data. Package keyring defines its entries.
const MeshKeysSecretName = "lbstack-mesh-keys"

// generateObjects makes the objects that are not in the kustomizations.
func generateObjects(o Options) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for i := range o.Spec.IPAddressPools {
		item := &o.Spec.IPAddressPools[i]
		pool, err := customObject("IPAddressPool", item.Name, &item.IPAddressPoolSpec)
		if err != nil {
			return nil, err
		}
		if len(item.Labels) > 0 {
			pool.SetLabels(item.Labels)
		}
		objects = append(objects, pool)
	}
	for _, item := range announcementItems(o.Spec) {
		object, err := customObject(item.kind, item.name, item.spec)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// namedItem is an item of a list in the stack. Each item becomes an object of its own.
type namedItem struct {
	kind string
	name v1beta1.ObjectName
	spec any
}

// announcementItems returns all items of the lists in the stack that configure how addresses are announced.
func announcementItems(spec v1beta1.LoadBalancerStackSpec) []namedItem {
	var items []namedItem
	for i := range spec.L2Advertisements {
		items = append(items, namedItem{"L2Advertisement", spec.L2Advertisements[i].Name, &spec.L2Advertisements[i].L2AdvertisementSpec})
	}
	for i := range spec.BFDProfiles {
		items = append(items, namedItem{"BFDProfile", spec.BFDProfiles[i].Name, &spec.BFDProfiles[i].BFDProfileSpec})
	}
	for i := range spec.Communities {
		items = append(items, namedItem{"Community", spec.Communities[i].Name, &spec.Communities[i].CommunitySpec})
	}
	for i := range spec.BGPPeers {
		items = append(items, namedItem{"BGPPeer", spec.BGPPeers[i].Name, &spec.BGPPeers[i].BGPPeerSpec})
	}
	for i := range spec.BGPAdvertisements {
		items = append(items, namedItem{"BGPAdvertisement", spec.BGPAdvertisements[i].Name, &spec.BGPAdvertisements[i].BGPAdvertisementSpec})
	}
	return items
}

// customObject makes an object of one of lbstack's kinds from a spec.
func customObject(kind string, name v1beta1.ObjectName, spec any) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(spec)
	if err != nil {
		return nil, fmt.Errorf("making the %s %s: %w", kind, name, err)
	}
	object := newObject(v1beta1.GroupVersion.String(), kind, string(name))
	// If an empty spec is applied, the API server turns it into null, and then refuses it.
	if len(content) > 0 {
		object.Object["spec"] = content
	}
	return object, nil
}

func newObject(apiVersion, kind, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetName(name)
	return object
}
