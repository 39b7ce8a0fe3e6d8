package kube

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	lbmanager "github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/speaker"
)

// cacheOf is a cache that lists what a client has.
type cacheOf struct {
	crcache.Cache
	client client.Client
	listed *[]string // kinds that were looked at
}

func (c cacheOf) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	*c.listed = append(*c.listed, fmt.Sprintf("%T", list))
	return c.client.List(ctx, list, opts...)
}

func TestASnapshotIsToldOnlyWhenItIsAnother(t *testing.T) {
	scheme, err := lbmanager.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	svc, held, all, slice := service("web", "10.0.0.1"), claim("10.0.0.1", "gold", "web"), ad("all", v1beta1.L2AdvertisementSpec{}), endpoints("web", "n1")
	one := node("n1", "a")
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&svc, &held, &all, &slice, &one).Build()
	var told []speaker.Snapshot
	var listed []string
	w := &Watcher{
		Cache: cacheOf{client: c, listed: &listed}, Self: "n1", Namespace: "lbstack-system",
		Snapshot: func(s speaker.Snapshot) { told = append(told, s) }, Peers: func(map[lb.NodeName]netip.Addr) {},
	}
	tell := func(want int, when string) {
		t.Helper()
		if err := w.tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(told) != want {
			t.Fatalf("%s: got %d snapshots, want %d", when, len(told), want)
		}
	}
	tell(1, "at first")
	tell(1, "nothing has changed")
	one.Status.Phase = corev1.NodeRunning
	if err := c.Update(t.Context(), &one); err != nil {
		t.Fatal(err)
	}
	tell(1, "something has changed that does not count")
	if err := c.Delete(t.Context(), &slice); err != nil {
		t.Fatal(err)
	}
	tell(2, "the endpoints are gone")
	if len(told[0].Addresses[0].Candidates) != 1 || len(told[1].Addresses) != 1 || len(told[1].Addresses[0].Candidates) != 0 {
		t.Errorf("got %+v, want one candidate, then none for the same address", told)
	}
	if err := c.Delete(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	tell(3, "the last advertisement is gone")
	if len(told[2].Addresses) != 0 {
		t.Errorf("without an advertisement: got %+v, want no address", told[2])
	}
	listed = nil
	tell(3, "nothing has changed without an advertisement")
	if want := []string{"*v1.NodeList", "*v1beta1.L2AdvertisementList", "*v1.PodList"}; !slices.Equal(listed, want) {
		t.Errorf("without an advertisement: looked at %v, want %v", listed, want)
	}
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
			if got := differ(x, y); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if x.ResourceVersion != "1" {
				t.Error("the cache's own was changed")
			}
		})
	}
}
