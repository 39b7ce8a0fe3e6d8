package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// Nodes have a second network card, in a network without a gateway, and addresses are announced
// there. The mesh runs over the first one.
func TestAddressesOnASecondNetworkCard(t *testing.T) {
	installed(t)
	served(t) // applies the objects that the sample Service needs
	t.Cleanup(func() {
		must(t, bed.RemoveSecondNetwork(context.Background()))
		for _, node := range bed.Cluster.Nodes() {
			must(t, bed.Cluster.Start(background(t), node))
		}
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	macs, err := bed.SecondNetwork(background(t))
	must(t, err)
	nodeOf := func(mac string) string {
		for node, m := range macs {
			if m == mac {
				return node
			}
		}
		t.Fatalf("%s is no node's: %v", mac, macs)
		return ""
	}
	for node := range macs {
		eventually.Succeed(t, within, node+" reports its second interface", func(ctx context.Context) error {
			state, err := stateOf(ctx, node)
			if err == nil && !slices.ContainsFunc(state.Status.Interfaces, func(i v1beta1.SpeakerInterface) bool { return i.Name == "eth1" }) {
				err = fmt.Errorf("interfaces: %+v", state.Status.Interfaces)
			}
			return err
		})
	}
	pool(t, "second", "10.77.0.100-10.77.0.109")
	balancerWith(t, "second", func(svc *corev1.Service) {
		svc.Annotations = map[string]string{v1beta1.AnnotationAddressPool: "second"}
	})
	address, err := bed.Address(background(t), "second")
	must(t, err)
	page, err := bed.Page(background(t), address)
	must(t, err)
	t.Logf("http://%s/: %s", address, page)
	w, err := bed.WatchSecond(address)
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	oneAnswers(t, w, address)

	last := leader(t)
	owner := nodeOf(w.All(address).Last)
	if owner == last { // another node dies
		must(t, bed.Drain(background(t), owner, true))
		eventually.Succeed(t, within, "another node than "+owner+" answers", func(context.Context) error {
			if got := w.Since(time.Now().Add(-time.Second), address); len(got.Owners) != 1 || got.Last == macs[owner] {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
		must(t, bed.Drain(background(t), owner, false))
		owner = nodeOf(w.All(address).Last)
	}
	killed := time.Now()
	must(t, bed.Cluster.Kill(owner))
	takenOver(t, w, address, killed, macs[owner], failover)

	// All others but one die. The node that is left receives requests of hosts alone.
	next := nodeOf(w.All(address).Last)
	if next == last {
		last = except(except(bed.Cluster.Nodes(), owner), next)[0]
	}
	killed = time.Now()
	must(t, bed.Cluster.Kill(except(except(bed.Cluster.Nodes(), owner), last)...))
	takenOver(t, w, address, killed, macs[next], failover)
	if got := w.All(address).Last; got != macs[last] {
		t.Errorf("%s answers for %s, want %s, which is left", got, address, macs[last])
	}
}
