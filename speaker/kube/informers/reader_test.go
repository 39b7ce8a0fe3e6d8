package informers

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestStore_TwoReaders(t *testing.T) {
	s := newStore()
	first := s.NewReader(&corev1.Service{}, &corev1.Node{})
	read := func(r *Reader) (holder *eligibility.Holder, changed bool) {
		r.Read(func(c Changes) { holder, changed = planned(c.Apply).Services[web], !c.Since.IsZero() })
		return holder, changed
	}
	s.Note(service(), true)
	s.Note(slice("a", "web", "n1"), true)
	one, _ := read(first)
	second := s.NewReader(&corev1.Service{}, &v1beta1.BGPPeer{})
	two, _ := read(second)
	if diff := cmp.Diff(holder("n1"), two, byValue); diff != "" || one != two {
		t.Errorf("a reader that came later: the same facts: %v; (-want +got):\n%s", one == two, diff)
	}
	s.Note(&v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}}, true)
	if _, changed := read(first); changed {
		t.Error("a kind of the other reader: got a change, want none")
	}
	if _, changed := read(second); !changed {
		t.Error("a kind of the reader: got no change")
	}
	s.Note(slice("a", "web", "n2"), true)
	for _, r := range []*Reader{first, second} {
		got, _ := read(r)
		if diff := cmp.Diff(holder("n2"), got, byValue); diff != "" {
			t.Errorf("other endpoints, which both read (-want +got):\n%s", diff)
		}
	}
}

func TestChanges_Nodes(t *testing.T) {
	s := NewStore(all)
	r := s.NewReader()
	ready := func(status corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}}}
	}
	drain := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	for _, step := range []struct {
		name   string
		object client.Object
		exists bool
		want   []eligibility.Node
	}{
		{"a node", ready(corev1.ConditionTrue), true, []eligibility.Node{{Name: "n1"}}},
		{"it is not ready", ready(corev1.ConditionFalse), true, []eligibility.Node{{Name: "n1", Down: true}}},
		{"another object", service(), true, []eligibility.Node{{Name: "n1", Down: true}}},
		{"the stack, which has the policy", drain, true, []eligibility.Node{{Name: "n1", Down: true}}},
		{"it is gone", ready(corev1.ConditionTrue), false, nil},
	} {
		s.Note(step.object, step.exists)
		r.Read(func(c Changes) {
			if diff := cmp.Diff(step.want, c.Nodes()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.name, diff)
			}
		})
	}
}

// kinds is a cache with an informer for each kind, which counts how often it was asked for.
type kinds struct {
	crcache.Cache
	mu    sync.Mutex
	of    map[reflect.Type]*controllertest.FakeInformer
	asked map[reflect.Type]int
}

func (k *kinds) GetInformer(_ context.Context, kind client.Object, _ ...crcache.InformerGetOption) (crcache.Informer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked[reflect.TypeOf(kind)]++
	return k.of[reflect.TypeOf(kind)], nil
}

func TestSource_TwoReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &kinds{of: map[reflect.Type]*controllertest.FakeInformer{}, asked: map[reflect.Type]int{}}
		for _, kind := range []client.Object{&corev1.Service{}, &discoveryv1.EndpointSlice{}, &corev1.Secret{}} {
			cache.of[reflect.TypeOf(kind)] = controllertest.NewFakeInformer()
		}
		source := NewSource(cache, "lbstack-system", logr.Discard())
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		reads := [2]chan map[lb.ServiceKey]*eligibility.Holder{}
		for i, extra := range []client.Object{&discoveryv1.EndpointSlice{}, &corev1.Secret{}} {
			reads[i] = make(chan map[lb.ServiceKey]*eligibility.Holder, 9)
			ended.Go(func() {
				read := func(c Changes) { reads[i] <- planned(c.Apply).Services }
				if err := source.Run(ctx, 0, read, &corev1.Service{}, extra); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := cache.asked[reflect.TypeFor[*corev1.Service]()]; n != 1 {
			t.Errorf("the Services, which both read: got %d informers, want one", n)
		}
		services := cache.of[reflect.TypeFor[*corev1.Service]()]
		services.Add(service())
		services.Synced()
		cache.of[reflect.TypeFor[*discoveryv1.EndpointSlice]()].Synced()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(reads[0]) != 1 || len(reads[1]) != 0 {
			t.Errorf("the Secrets are missing: got %d and %d reads, want only the reader that does not need them to read, once", len(reads[0]), len(reads[1]))
		}
		cache.of[reflect.TypeFor[*corev1.Secret]()].Synced()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(reads[1]) != 1 || (<-reads[1])[web] == nil {
			t.Error("all is there: got no Service, want the second reader to read it")
		}
		cancel()
		ended.Wait()
	})
}
