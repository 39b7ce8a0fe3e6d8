package service

import (
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// overwritten knows for each Service the version that the controller wrote over last: as
// long as the cache has that one it is behind, and what is decided from it would be refused
// by the API server, or undo what was written. The zero value knows of none; it is safe for
// concurrent use.
type overwritten struct {
	mu       sync.Mutex
	versions map[lb.ServiceKey]string
}

// note keeps that the version that was read is no longer there, unless the API server found
// that there was nothing to change.
func (o *overwritten) note(read, written *corev1.Service) {
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

// is says whether this is the version that was written over.
func (o *overwritten) is(svc *corev1.Service) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	version, has := o.versions[apiconv.KeyOf(svc)]
	if has && version != svc.ResourceVersion {
		delete(o.versions, apiconv.KeyOf(svc)) // the cache has caught up
	}
	return has && version == svc.ResourceVersion
}

// forget forgets a Service that is gone.
func (o *overwritten) forget(key lb.ServiceKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.versions, key)
}
