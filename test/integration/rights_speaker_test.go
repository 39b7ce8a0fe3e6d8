package integration

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/features"
	featuretesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/rest"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/access"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/manager"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/kube"
	node "github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestRights_SpeakerUsesAllThatItHas runs the Kubernetes part of a speaker with a token that is
// bound to a pod on its node.
func TestRights_SpeakerUsesAllThatItHas(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(routersSpec())
	b.installed()
	const self = "rights"
	create(t, b.Client, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: self}})
	reader := metricsReader(newBed(t), "prometheus")
	exact := b.rightsOf("speaker", forOpenShift)
	b.Setenv("KUBECONFIG", b.tokenOf("lbstack-speaker", self))

	first, second := netip.MustParsePrefix("10.9.0.1/32"), netip.MustParsePrefix("10.9.0.2/32")
	var mu sync.Mutex
	changes := map[bgp.PeerName]speakerbgp.RouteChanges{}
	_, state := b.startSpeaker(self, func() kube.RoutingState {
		mu.Lock()
		defer mu.Unlock()
		list := changes
		changes = map[bgp.PeerName]speakerbgp.RouteChanges{"tor-a": {}}
		return kube.RoutingState{Changes: list}
	})
	t.Cleanup(func() {
		_ = b.Delete(context.Background(), &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: self}})
	})
	state.SetReport(node.Report{Phase: string(v1beta1.SpeakerActive), Live: 1})
	for _, step := range []struct {
		changes speakerbgp.RouteChanges
		want    int
	}{
		{speakerbgp.RouteChanges{Whole: true, Announced: []netip.Prefix{first}, Since: time.Now()}, 1},
		{speakerbgp.RouteChanges{Announced: []netip.Prefix{second}}, 2},
		{speakerbgp.RouteChanges{Withdrawn: []netip.Prefix{first, second}}, 0},
	} {
		mu.Lock()
		changes["tor-a"] = step.changes
		mu.Unlock()
		state.Nudge()
		eventually.Succeed(t, within, fmt.Sprintf("the speaker lists %d routes", step.want), func(ctx context.Context) error {
			var list v1beta1.SpeakerRouteSliceList
			if err := b.List(ctx, &list); err != nil {
				return err
			}
			got := 0
			for _, slice := range list.Items {
				got += len(slice.Routes)
			}
			if got != step.want || (step.want == 0) != (len(list.Items) == 0) {
				return fmt.Errorf("got %d routes in %d slices", got, len(list.Items))
			}
			return nil
		})
	}
	// Somebody asks for the metrics.
	cluster, err := manager.RESTConfig("lbstack-speaker")
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(cluster)
	if err != nil {
		t.Fatal(err)
	}
	reviewer, err := access.NewAPIServer(cluster, client)
	if err != nil {
		t.Fatal(err)
	}
	if decision, err := reviewer.Review(t.Context(), reader, "/metrics"); err != nil || decision != access.Admitted {
		t.Errorf("reviewing who asks for the metrics: got %s, %v, want %s", decision, err, access.Admitted)
	}
	// It lists, as an API server wants that streams no lists.
	featuretesting.SetFeatureDuringTest(t, features.WatchListClient, false)
	b.startSpeaker(self, nil)
	exact()
}

// forOpenShift is looked at by the admission of OpenShift only, see TestPods_OpenShift.
var forOpenShift = right{group: "security.openshift.io", resource: "securitycontextconstraints", name: "privileged", verb: "use"}
