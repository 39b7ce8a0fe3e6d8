package kube

import (
	"context"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// changeAt fails unless there are want changes by now, and returns the last one.
func (b *bed) changeAt(t *testing.T, when string, want int) layer2.Change {
	t.Helper()
	if len(b.snapshots) != 1 || len(b.changes) != want {
		t.Fatalf("%s: got %d snapshots and %d changes, want one and %d", when, len(b.snapshots), len(b.changes), want)
	}
	if want == 0 {
		return layer2.Change{}
	}
	return b.changes[want-1]
}

// served is a cluster with one node and one Service of which all is announced.
func served() (one corev1.Node, all v1beta1.L2Advertisement, web []client.Object) {
	svc, held, slice, gold := service("web", "10.0.0.1"), claim("10.0.0.1", "gold", "web"), endpoints("web", "n1"), pool("gold", "high")
	return node("n1", "a"), ad("all", v1beta1.L2AdvertisementSpec{}), []client.Object{&svc, &held, &slice, &gold}
}

func TestOnlyChangesThatCountAreReported(t *testing.T) {
	b := newBed(apiconv.DrainPolicy{Labels: []string{"drain"}})
	one, all, web := served()
	b.sees(append(web, &one, &all)...)
	b.changeAt(t, "at first", 0)
	b.sees()
	b.changeAt(t, "nothing has changed", 0)
	annotated := one.DeepCopy()
	annotated.Annotations = map[string]string{"a": "b"}
	labelled := web[0].DeepCopyObject().(client.Object)
	labelled.SetLabels(map[string]string{"a": "b"})
	tin := pool("tin", "high")
	b.sees(annotated, labelled, &tin)
	b.changeAt(t, "something has changed that does not count", 0)

	address := netip.MustParseAddr("10.0.0.1")
	b.loses(web[2])
	nobody := layer2.Change{Snapshot: layer2.Snapshot{Addresses: []layer2.AnnouncedAddress{{Address: address}}, Draining: map[lb.NodeName]bool{}, Down: map[lb.NodeName]bool{}}}
	if diff := cmp.Diff(nobody, b.changeAt(t, "the endpoints are gone", 1), byValue); diff != "" {
		t.Errorf("the endpoints are gone (-want +got):\n%s", diff)
	}
	drained := annotated.DeepCopy()
	drained.Labels["drain"] = ""
	b.sees(drained)
	drains := layer2.Change{Snapshot: layer2.Snapshot{Draining: map[lb.NodeName]bool{"n1": true}, Standby: "is drained", Down: map[lb.NodeName]bool{}}}
	if diff := cmp.Diff(drains, b.changeAt(t, "the node drains", 2), byValue); diff != "" {
		t.Errorf("the node drains (-want +got):\n%s", diff)
	}
	b.loses(web[1])
	drains.Gone = []netip.Addr{address}
	if diff := cmp.Diff(drains, b.changeAt(t, "the claim is gone", 3), byValue); diff != "" {
		t.Errorf("the claim is gone (-want +got):\n%s", diff)
	}
}

func TestWithoutAnAdvertisementNoServiceIsComputed(t *testing.T) {
	b := newBed(apiconv.DrainPolicy{})
	one, all, web := served()
	b.sees(append(web, &one)...)
	if b.changeAt(t, "at first", 0); len(b.snapshots[0].Addresses) != 0 {
		t.Errorf("without an advertisement: got %+v, want no address", b.snapshots[0])
	}
	dns, held := service("dns", "10.0.0.2"), claim("10.0.0.2", "gold", "dns")
	b.sees(&dns, &held)
	b.changeAt(t, "a Service more without an advertisement", 0)
	b.loses(&held)
	b.sees(&all)
	got := b.changeAt(t, "the first advertisement", 1)
	want := []layer2.AnnouncedAddress{{Address: netip.MustParseAddr("10.0.0.1"), Candidates: []layer2.Candidate{{Node: "n1"}}}}
	if diff := cmp.Diff(want, got.Addresses, byValue); diff != "" {
		t.Errorf("the first advertisement (-want +got):\n%s", diff)
	}
	broken := ad("bad", v1beta1.L2AdvertisementSpec{NodeSelectors: []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}}})
	b.sees(&broken)
	b.changeAt(t, "a broken advertisement", 2)
	b.loses(&all)
	if diff := cmp.Diff([]layer2.AnnouncedAddress{{Address: want[0].Address}}, b.changeAt(t, "only a broken one is left", 3).Addresses, byValue); diff != "" {
		t.Errorf("only a broken one is left (-want +got):\n%s", diff)
	}
	b.loses(&broken)
	if diff := cmp.Diff([]netip.Addr{want[0].Address}, b.changeAt(t, "the last advertisement is gone", 4).Gone, byValue); diff != "" {
		t.Errorf("the last advertisement is gone (-want +got):\n%s", diff)
	}
	b.sees(web...)
	b.changeAt(t, "a Service changes", 4)
}

func TestPeersAreReportedOnlyWhenTheyChange(t *testing.T) {
	pod := func(name, namespace, component, ip string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1beta1.LabelComponent: component}},
			Spec: corev1.PodSpec{NodeName: name}, Status: corev1.PodStatus{HostIP: ip}}
	}
	b := newBed(apiconv.DrainPolicy{})
	expectPeers := func(when string, want ...map[lb.NodeName]netip.Addr) {
		t.Helper()
		if diff := cmp.Diff(want, b.peers, byValue); diff != "" {
			t.Errorf("%s: peers (-want +got):\n%s", when, diff)
		}
		b.peers = nil
	}
	b.sees()
	expectPeers("nobody is there", map[lb.NodeName]netip.Addr{})
	b.sees(pod("n2", "lbstack-system", "speaker", "10.0.0.2"), pod("n3", "lbstack-system", "controller", "10.0.0.3"), pod("n4", "default", "speaker", "10.0.0.4"))
	expectPeers("a speaker, and others", map[lb.NodeName]netip.Addr{"n2": netip.MustParseAddr("10.0.0.2")})
	ready := pod("n2", "lbstack-system", "speaker", "10.0.0.2")
	ready.Status.Phase = corev1.PodRunning
	b.sees(ready)
	expectPeers("it is where it was")
	b.sees(pod("n2", "lbstack-system", "none", "10.0.0.2"))
	expectPeers("it is a speaker no more", map[lb.NodeName]netip.Addr{})
	b.changeAt(t, "pods alone", 0)
}

func TestAKubeletThatWritesTheSameWakesNobody(t *testing.T) {
	before := node("n1", "a")
	before.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Unix(1, 0)}}
	tests := []struct {
		name   string
		change func(*corev1.Node)
		want   bool
	}{
		{"the same, later", func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime = metav1.Unix(2, 0) }, false},
		{"its images", func(n *corev1.Node) { n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}} }, false},
		{"it is not ready", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, true},
		{"a label", func(n *corev1.Node) { n.Labels = map[string]string{"a": "b"} }, true},
		{"an annotation", func(n *corev1.Node) { n.Annotations = map[string]string{"a": "b"} }, true},
		{"a taint", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "a"}} }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, y := before.DeepCopy(), before.DeepCopy()
			x.ResourceVersion, y.ResourceVersion = "1", "2"
			tt.change(y)
			stripNode(x)
			stripNode(y)
			store := informers.NewStore(func(client.Object) bool { return true })
			reader := store.NewReader()
			reader.Read(func(informers.Changes) {})
			store.Handler().OnUpdate(x, y)
			reader.Read(func(noted informers.Changes) {
				if got := noted.HasChanged(&corev1.Node{}); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
			if x.ResourceVersion != "1" {
				t.Error("the cache's own was changed")
			}
		})
	}
}

// fakeCache is a cache of which each kind is synced when the test sets it.
type fakeCache struct {
	crcache.Cache
	of map[reflect.Type]*controllertest.FakeInformer
}

func (c fakeCache) GetInformer(_ context.Context, kind client.Object, _ ...crcache.InformerGetOption) (crcache.Informer, error) {
	return c.of[reflect.TypeOf(kind)], nil
}

// pass lets a second of the bubble's time pass, and all that happens in it be done.
func pass() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestSnapshotIsReportedOnceAllKindsAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cache := newBed(apiconv.DrainPolicy{}), fakeCache{of: map[reflect.Type]*controllertest.FakeInformer{}}
		for _, kind := range watchedKinds() {
			cache.of[reflect.TypeOf(kind)] = controllertest.NewFakeInformer()
		}
		b.watcher.Objects = informers.NewSource(cache, "lbstack-system", logr.Discard())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.watcher.Start(ctx) }()
		synctest.Wait()
		one, all, web := served()
		for _, o := range append(web, &one, &all) {
			cache.of[reflect.TypeOf(o)].Add(o)
		}
		for _, kind := range watchedKinds() {
			pass()
			if len(b.snapshots) != 0 {
				t.Errorf("before %T was seen: got %+v, want no snapshot", kind, b.snapshots)
			}
			cache.of[reflect.TypeOf(kind)].Synced()
		}
		pass()
		if b.changeAt(t, "all was seen", 0); len(b.snapshots[0].Addresses) != 1 {
			t.Errorf("got %+v, want one address", b.snapshots[0])
		}
		cache.of[reflect.TypeOf(web[2])].Delete(web[2])
		pass()
		b.changeAt(t, "the endpoints are gone", 1)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("at the end: got %v, want no error", err)
		}
	})
}
