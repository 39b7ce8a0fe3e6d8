package kube

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// mapper knows the kinds that the speaker works with, without asking the API
// server: a speaker that starts while that one is away must start all the same.
func mapper(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Service", "Pod"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	for _, kind := range []string{"IPAddressClaim", "IPAddressPool", "L2Advertisement", "SpeakerState"} {
		m.Add(v1beta1.GroupVersion.WithKind(kind), meta.RESTScopeRoot)
	}
	return m, nil
}
