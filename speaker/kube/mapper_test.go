package kube

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/lbstack/lbstack/api/v1beta1"
	lbmanager "github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/speaker/kube/routing"
)

func TestEveryWatchedKindIsMappedWithoutTheAPIServer(t *testing.T) {
	scheme, err := lbmanager.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newRESTMapper(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range append(append(watchedKinds(), routing.WatchedKinds()...), &v1beta1.SpeakerState{}) {
		kind, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{kind.Kind, kind.Kind + "List"} {
			mapping, err := m.RESTMapping(kind.GroupVersion().WithKind(name).GroupKind(), kind.Version)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if want := meta.RESTScopeNameRoot; kind.Group == v1beta1.GroupVersion.Group && mapping.Scope.Name() != want {
				t.Errorf("%s: got the scope %s, want %s", name, mapping.Scope.Name(), want)
			}
		}
	}
}
