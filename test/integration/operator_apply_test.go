package integration

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestAListThatTwoManagersSetCanBeTakenAway(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(v1beta1.LoadBalancerStackSpec{})
	apply := func(spec map[string]any) {
		t.Helper()
		stack := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		stack.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
		stack.SetName(v1beta1.LoadBalancerStackName)
		if err := b.Apply(context.Background(), client.ApplyConfigurationFromUnstructured(stack), client.FieldOwner("gitops"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	peers := []any{map[string]any{"name": "router", "myASN": int64(64512), "peerASN": int64(64513), "peerAddress": "192.0.2.1"}}
	apply(map[string]any{"bgpPeers": peers})
	router := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "router"}}
	b.exists(router)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.BGPPeers[0].HoldTimeSeconds = new(int32(9)) })
	b.becomes(router, func(client.Object) bool {
		return router.Spec.HoldTimeSeconds != nil && *router.Spec.HoldTimeSeconds == 9
	})
	apply(map[string]any{})
	b.isGone(router)
}

func TestAnEditOfTheStackWritesOnlyChangedObjects(t *testing.T) {
	b := newReadyBed(t)
	before := b.rests()
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.168.1.60"}
	})
	p := pool("first-pool")
	b.becomes(p, func(client.Object) bool { return len(p.Spec.Addresses) == 1 && p.Spec.Addresses[0] == "192.168.1.60" })
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
	// Once, and once more if the cache had not seen that yet.
	if got := b.applied(context.Background()) - before; got < 1 || got > 2 {
		t.Errorf("objects applied for one pool that changed: got %d, want 1 or 2", got)
	}
}

// rests waits until the last pass saw all that the ones before it had written, and returns how many objects
// were applied until then.
func (b *operatorBed) rests() (applied int) {
	b.Helper()
	since := time.Now()
	eventually.Succeed(b.T, within, "the operator rests", func(ctx context.Context) error {
		if now := b.applied(ctx); now != applied {
			applied, since = now, time.Now()
		}
		if time.Since(since) < 2*time.Second {
			return fmt.Errorf("%d objects were applied until now", applied)
		}
		return nil
	})
	return applied
}

// applied counts the objects that were applied since the API server started. Nobody else
// applies while this test runs.
func (b *operatorBed) applied(ctx context.Context) (count int) {
	b.Helper()
	config, err := server.Config()
	if err != nil {
		b.Fatal(err)
	}
	config.GroupVersion, config.NegotiatedSerializer = &v1beta1.GroupVersion, scheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := c.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		b.Fatalf("asking the API server for its metrics: %v", err)
	}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "apiserver_request_total{") && strings.Contains(line, `verb="APPLY"`) {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			if err != nil {
				b.Fatalf("reading %q: %v", line, err)
			}
			count += int(value)
		}
	}
	return count
}
