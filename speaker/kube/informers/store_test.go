package informers

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// facts are the input of a planner.
type facts struct {
	Services map[lb.ServiceKey]*eligibility.Holder
	Claims   map[netip.Addr]*eligibility.Claim
}

func (h *facts) SetService(key lb.ServiceKey, s *eligibility.Holder)   { h.Services[key] = s }
func (h *facts) SetClaim(address netip.Addr, claim *eligibility.Claim) { h.Claims[address] = claim }

func planned(apply func(Planner)) facts {
	h := facts{Services: map[lb.ServiceKey]*eligibility.Holder{}, Claims: map[netip.Addr]*eligibility.Claim{}}
	apply(&h)
	return h
}

var (
	one     = netip.MustParseAddr("10.0.0.1")
	web     = lb.ServiceKey{Namespace: "default", Name: "web"}
	byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}

func service() *corev1.Service {
	svc := &corev1.Service{ObjectMeta: named("web"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: one.String()}}
	return svc
}

func slice(name, of, node string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: named(name), AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{NodeName: &node}}}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: of}
	return s
}

func claim(name, address string) *v1beta1.IPAddressClaim {
	return &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressClaimSpec{
		Address: address, Pool: "gold", Holders: []v1beta1.ClaimHolder{{Namespace: "default", Name: "web"}}}}
}

// holder is the Service, with endpoints on these nodes.
func holder(nodes ...lb.NodeName) *eligibility.Holder {
	h := &eligibility.Holder{Service: eligibility.Service{Key: web}, Shown: []netip.Addr{one}}
	if len(nodes) > 0 {
		e := eligibility.Endpoints{Serving: len(nodes), Nodes: map[lb.NodeName]bool{}}
		for _, n := range nodes {
			e.Nodes[n] = true
		}
		h.Endpoints = map[lb.Family]eligibility.Endpoints{lb.IPv4: e}
	}
	return h
}

func all(client.Object) bool { return true }

// newStore returns a store with the nodes of the tests.
func newStore() *Store {
	s := NewStore(all)
	for _, name := range []string{"n1", "n2", "n3"} {
		s.Note(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, true)
	}
	return s
}

func TestOnlyChangesAreReported(t *testing.T) {
	type services = map[lb.ServiceKey]*eligibility.Holder
	type claims = map[netip.Addr]*eligibility.Claim
	held := &eligibility.Claim{Pool: "gold", Holders: []eligibility.ClaimHolder{{Key: web}}}
	internal := service()
	internal.Spec.Type = corev1.ServiceTypeClusterIP
	tests := []struct {
		name        string
		before, now []client.Object
		gone        []client.Object
		want        facts
	}{
		{name: "a Service", now: []client.Object{service()}, want: facts{Services: services{web: holder()}}},
		{name: "a Service without load balancer is no change", now: []client.Object{internal}},
		{name: "a Service that has a load balancer no more is gone", before: []client.Object{service()}, now: []client.Object{internal}, want: facts{Services: services{web: nil}}},
		{name: "a Service that goes", before: []client.Object{service()}, gone: []client.Object{service()}, want: facts{Services: services{web: nil}}},
		{name: "endpoints are a change of their Service", before: []client.Object{service()}, now: []client.Object{slice("a", "web", "n1"), slice("b", "web", "n2")},
			want: facts{Services: services{web: holder("n1", "n2")}}},
		{name: "endpoints that come before their Service wait for it", before: []client.Object{slice("a", "web", "n1")}, now: []client.Object{service()},
			want: facts{Services: services{web: holder("n1")}}},
		{name: "endpoints that go leave the others", before: []client.Object{service(), slice("a", "web", "n1"), slice("b", "web", "n2")}, gone: []client.Object{slice("a", "web", "n1")},
			want: facts{Services: services{web: holder("n2")}}},
		{name: "endpoints that are others replace what was there", before: []client.Object{service(), slice("a", "web", "n1")}, now: []client.Object{slice("a", "web", "n2")},
			want: facts{Services: services{web: holder("n2")}}},
		{name: "endpoints of another Service are no change", before: []client.Object{service()}, now: []client.Object{slice("a", "dns", "n1"), slice("b", "", "n1")}},
		{name: "a claim", now: []client.Object{claim("10.0.0.1", "10.0.0.1")}, want: facts{Claims: claims{one: held}}},
		{name: "a claim that goes", before: []client.Object{claim("10.0.0.1", "10.0.0.1")}, gone: []client.Object{claim("10.0.0.1", "10.0.0.1")}, want: facts{Claims: claims{one: nil}}},
		{name: "a claim that becomes one for another address is gone", before: []client.Object{claim("10.0.0.1", "10.0.0.1")}, now: []client.Object{claim("10.0.0.1", "10.0.0.2")}, want: facts{Claims: claims{one: nil}}},
		{name: "a claim whose name is no address is no change", now: []client.Object{claim("web", "10.0.0.1")}},
		{name: "the deletion of an unknown object is no change", gone: []client.Object{service(), claim("10.0.0.1", "10.0.0.1"), slice("a", "web", "n1")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore()
			r := s.NewReader()
			for _, o := range tt.before {
				s.Note(o, true)
			}
			r.Read(func(Changes) {})
			for _, o := range tt.now {
				s.Note(o, true)
			}
			for _, o := range tt.gone {
				s.Note(o, false)
			}
			want := planned(func(Planner) {})
			if tt.want.Services != nil {
				want.Services = tt.want.Services
			}
			if tt.want.Claims != nil {
				want.Claims = tt.want.Claims
			}
			r.Read(func(n Changes) {
				if diff := cmp.Diff(want, planned(n.Apply), byValue); diff != "" {
					t.Errorf("changes (-want +got):\n%s", diff)
				}
				if nothing := len(want.Services)+len(want.Claims) == 0; n.Since.IsZero() != nothing {
					t.Errorf("got the changes of %s, want no changes at all: %v", n.Since, nothing)
				}
			})
		})
	}
}

func TestStore_EndpointBeforeItsNode(t *testing.T) {
	s := newStore()
	r := s.NewReader()
	s.Note(service(), true)
	s.Note(slice("a", "web", "n9"), true)
	look := func(what string, want *eligibility.Holder) {
		t.Helper()
		r.Read(func(n Changes) {
			got, reported := planned(n.Apply).Services[web]
			if diff := cmp.Diff(want, got, byValue); diff != "" || reported != (want != nil) {
				t.Errorf("%s, reported: %v (-want +got):\n%s", what, reported, diff)
			}
		})
	}
	nowhere := holder()
	nowhere.Endpoints = map[lb.Family]eligibility.Endpoints{lb.IPv4: {Serving: 1}}
	look("endpoint on an unknown node serves on no node", nowhere)
	s.Note(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n8"}}, true)
	look("another node that comes changes nothing", nil)
	s.Note(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n9"}}, true)
	look("endpoint serves on its node when that is known", holder("n9"))
	s.Note(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n9", Labels: map[string]string{"a": "b"}}}, true)
	look("a changed node is no change of endpoints", nil)
}

func TestAllObjectsCanBeReported(t *testing.T) {
	s := newStore()
	r := s.NewReader()
	for _, o := range []client.Object{service(), claim("10.0.0.1", "10.0.0.1")} {
		s.Note(o, true)
	}
	r.Read(func(Changes) {})
	r.Read(func(n Changes) {
		want := facts{Services: map[lb.ServiceKey]*eligibility.Holder{web: holder()}, Claims: map[netip.Addr]*eligibility.Claim{one: {Pool: "gold", Holders: []eligibility.ClaimHolder{{Key: web}}}}}
		if diff := cmp.Diff(want, planned(n.ApplyAll), byValue); diff != "" {
			t.Errorf("first changes (-want +got):\n%s", diff)
		}
	})
}

func TestChangesOfOtherKindsAreReportedByKind(t *testing.T) {
	s := NewStore(func(o client.Object) bool { return o.GetLabels()["ours"] != "no" })
	r := s.NewReader()
	node := func(name, ours string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"ours": ours}}}
	}
	look := func(what string, changed bool, want ...string) {
		t.Helper()
		r.Read(func(n Changes) {
			if got := n.HasChanged(&corev1.Node{}, &corev1.Pod{}); got != changed {
				t.Errorf("%s: nodes or pods have changed: got %v, want %v", what, got, changed)
			}
			if n.HasChanged(&corev1.Secret{}) != n.First {
				t.Errorf("%s: Secrets have changed", what)
			}
			var got []string
			for _, o := range All[*corev1.Node](n) {
				got = append(got, o.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: nodes (-want +got):\n%s", what, diff)
			}
		})
	}
	look("at first everything is a change", true)
	look("nothing has happened", false)
	s.Note(node("b", ""), true)
	s.Note(node("a", ""), true)
	look("two nodes", true, "a", "b")
	s.Note(node("c", "no"), true)
	look("a node that does not count", false, "a", "b")
	s.Note(node("b", "no"), true)
	look("a node that counts no more", true, "a")
	s.Note(node("a", ""), false)
	look("a node that is gone", true)
}

func TestObjectsOfOneNameInTwoNamespacesAreTwo(t *testing.T) {
	s := NewStore(func(o client.Object) bool { return o.GetNamespace() == "default" })
	r := s.NewReader()
	mine, foreign := &corev1.Secret{ObjectMeta: named("s")}, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "s"}}
	s.Note(mine, true)
	s.Note(foreign, true)
	r.Read(func(n Changes) {
		if got := Get[*corev1.Secret](n, client.ObjectKey{Namespace: "default", Name: "s"}); got != mine {
			t.Errorf("got %v, want the Secret that counts", got)
		}
		if got := Get[*corev1.Secret](n, client.ObjectKey{Namespace: "other", Name: "s"}); got != nil {
			t.Errorf("got %v, want none where none counts", got)
		}
	})
}

func TestEndpointsThatBecomeAnotherServicesLeaveTheirOld(t *testing.T) {
	s := newStore()
	r := s.NewReader()
	h := s.Handler()
	h.OnAdd(service(), true)
	h.OnAdd(slice("a", "web", "n1"), true)
	h.OnUpdate(slice("a", "web", "n1"), slice("a", "dns", "n1"))
	r.Read(func(n Changes) {
		if diff := cmp.Diff(holder(), planned(n.Apply).Services[web], byValue); diff != "" {
			t.Errorf("the Service (-want +got):\n%s", diff)
		}
	})
	h.OnDelete(cache.DeletedFinalStateUnknown{Obj: service()})
	r.Read(func(n Changes) {
		if got, reported := planned(n.Apply).Services[web]; !reported || got != nil {
			t.Errorf("a Service whose end was missed: reported %v: %+v, want its deletion", reported, got)
		}
	})
}

func TestChangeThatDoesNotCountWakesNothing(t *testing.T) {
	before := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor", Generation: 1, ResourceVersion: "1"}}
	reported := before.DeepCopy()
	reported.Status.Established, reported.ResourceVersion = 3, "2"
	edited := before.DeepCopy()
	edited.Generation = 2
	labelled := before.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	again := before.DeepCopy()
	again.UID, again.ResourceVersion = "another", "9"
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "speaker", Generation: 1, ResourceVersion: "1"}}
	placed, beaten := pod.DeepCopy(), pod.DeepCopy()
	placed.Status.HostIP, placed.ResourceVersion, beaten.ResourceVersion = "10.0.0.2", "2", "2"
	shown := service()
	shown.Generation = 1
	lost := shown.DeepCopy()
	lost.Status.LoadBalancer.Ingress = nil
	for name, tt := range map[string]struct {
		before, now client.Object
		want        bool
	}{
		"a status of our own kinds": {before, reported, false}, "a spec": {before, edited, true}, "a label": {before, labelled, true},
		"the same, written again": {pod, beaten, false}, "a status of a pod that has a generation": {pod, placed, true},
		"a status of a Service that has a generation":           {shown, lost, true},
		"one that was made again while the API server was away": {before, again, true},
		"another kind": {before, pod, true},
	} {
		if got := isRelevantChange(tt.before, tt.now); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	if pod.ResourceVersion != "1" {
		t.Error("the cache's own was changed")
	}
}

func TestLabelsOfANamespaceAreChangesOfItsServices(t *testing.T) {
	s := NewStore(all)
	r := s.NewReader()
	namespace := func(name string, labels map[string]string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	reported := func() map[lb.ServiceKey]*eligibility.Holder {
		var h facts
		r.Read(func(n Changes) { h = planned(n.Apply) })
		return h.Services
	}
	s.Note(service(), true)
	s.Note(namespace(web.Namespace, map[string]string{"tenant": "a"}), true)
	if got := reported()[web]; got == nil || got.NamespaceLabels["tenant"] != "a" {
		t.Errorf("at first: got %+v, want the Service with the labels of its namespace", got)
	}
	s.Note(namespace("other", map[string]string{"tenant": "b"}), true)
	if got := reported(); len(got) != 0 {
		t.Errorf("another namespace: got %+v, want nothing", got)
	}
	s.Note(namespace(web.Namespace, map[string]string{"tenant": "c"}), true)
	if got := reported()[web]; got == nil || got.NamespaceLabels["tenant"] != "c" {
		t.Errorf("other labels: got %+v, want the Service with them", got)
	}
	s.Note(namespace(web.Namespace, nil), false)
	if got := reported()[web]; got == nil || len(got.NamespaceLabels) != 0 {
		t.Errorf("the namespace is gone: got %+v, want the Service without them", got)
	}
}
