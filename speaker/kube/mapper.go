package kube

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// newRESTMapper returns a REST mapper for the kinds that the speaker uses. It does not query the API server,
// since a speaker must be able to start while the API server does not answer.
func newRESTMapper(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	m := meta.NewDefaultRESTMapper(nil)
	add := func(version schema.GroupVersion, scope meta.RESTScope, kinds ...string) {
		for _, kind := range kinds {
			resource, singular := meta.UnsafeGuessKindToResource(version.WithKind(kind))
			m.AddSpecific(version.WithKind(kind), resource, singular, scope)
			// The cache looks up the scope of a kind by the kind of its list, for example PodList.
			m.AddSpecific(version.WithKind(kind+"List"), resource, singular, scope)
		}
	}
	add(corev1.SchemeGroupVersion, meta.RESTScopeNamespace, "Service", "Pod", "Secret")
	add(discoveryv1.SchemeGroupVersion, meta.RESTScopeNamespace, "EndpointSlice")
	add(corev1.SchemeGroupVersion, meta.RESTScopeRoot, "Node", "Namespace")
	add(v1beta1.GroupVersion, meta.RESTScopeRoot, "IPAddressClaim", "IPAddressPool", "L2Advertisement", "SpeakerState", "SpeakerRouteSlice",
		"BGPAdvertisement", "BGPPeer", "BFDProfile", "Community", "LoadBalancerStack")
	return m, nil
}
