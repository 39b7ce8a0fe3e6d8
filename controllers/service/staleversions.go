package service

import (
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// staleVersions has, for each Service, the resourceVersion that the controller replaced last. A decision that
// is made while the cache still has that version would undo the last write, or the API server would refuse
// it. The zero value is ready to use. It is safe for concurrent use.
type staleVersions struct {
	mu       sync.Mutex
	versions map[lb.ServiceKey]string
}

// note records that a write replaced the version of the Service that was read. It records nothing if both
// versions are the same, since the API server then had nothing to change.
func (o *staleVersions) note(read, written *corev1.Service) {
	if read.ResourceVersion == written.ResourceVersion {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.versions == nil {
		o.versions = map[lb.ServiceKey]string{}
	}
	o.versions[apiconv.KeyOf(read)] = read.ResourceVersion
}

// isStale reports whether svc has the version that the controller replaced last.
func (o *staleVersions) isStale(svc *corev1.Service) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	version, has := o.versions[apiconv.KeyOf(svc)]
	if has && version != svc.ResourceVersion {
		delete(o.versions, apiconv.KeyOf(svc)) // the cache has caught up
	}
	return has && version == svc.ResourceVersion
}

// forget removes the record of a Service that does not exist any more.
func (o *staleVersions) forget(key lb.ServiceKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.versions, key)
}
