package service

import (
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// staleVersions has for each Service the version that the controller replaced last. While the cache
// still has that version, a decision made from it would be refused by the API server, or undo what
// was written. The zero value is ready to use; it is safe for concurrent use.
type staleVersions struct {
	mu       sync.Mutex
	versions map[lb.ServiceKey]string
}

// note records that the version that was read has been replaced, unless the API server found
// nothing to change.
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

// isStale reports whether this is the version that was replaced.
func (o *staleVersions) isStale(svc *corev1.Service) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	version, has := o.versions[apiconv.KeyOf(svc)]
	if has && version != svc.ResourceVersion {
		delete(o.versions, apiconv.KeyOf(svc)) // the cache has caught up
	}
	return has && version == svc.ResourceVersion
}

// forget forgets a Service that is gone.
func (o *staleVersions) forget(key lb.ServiceKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.versions, key)
}
