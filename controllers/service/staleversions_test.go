package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestWriteThatTheCacheLacksIsNotRepeated(t *testing.T) {
	api := clusterOf()
	api.svc = service()
	r := on(t, api)
	r.Reader = api
	behind := api.svc.DeepCopy()
	look := func(cache *corev1.Service) reconcile.Result {
		t.Helper()
		r.Client = cached{cluster: api, svc: cache}
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(behind)})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	once := []string{"create 10.0.0.0", "status"}
	for i, l := range []struct {
		cache *corev1.Service
		again bool
	}{
		{behind, false},
		{behind, true},
		{nil, false}, // what the API server has
		{nil, false},
	} {
		got := look(l.cache)
		if diff := cmp.Diff(once, api.wrote); diff != "" || (got.RequeueAfter > 0) != l.again {
			t.Fatalf("look %d: got %+v, want again %v; written (-want +got):\n%s", i, got, l.again, diff)
		}
	}
	if len(r.stale.versions) > 0 {
		t.Errorf("kept of a Service that the cache knows: got %v, want nothing", r.stale.versions)
	}
}

func TestAWriteThatChangesNothingLeavesTheVersionAsItIs(t *testing.T) {
	var o staleVersions
	svc := service()
	svc.ResourceVersion = "7"
	o.note(svc, svc.DeepCopy())
	if o.isStale(svc) {
		t.Error("the version that is still there: got that it was written over, want that it was not")
	}
}
