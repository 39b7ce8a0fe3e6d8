package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// routed applies the stack with a router, and a Service with externalTrafficPolicy: Local.
// It returns the address of the Service, and the nodes that have an endpoint.
func routed(t *testing.T) (address string, nodes []string) {
	t.Helper()
	installed(t)
	ctx := background(t)
	must(t, bed.Apply(ctx, "lbstack_v1beta1_loadbalancerstack_routed.yaml", "service_routed.yaml"))
	t.Cleanup(func() {
		withdraw(t, scenario.RoutedService)
		must(t, bed.Apply(background(t), "lbstack_v1beta1_loadbalancerstack.yaml"))
	})
	address, err := bed.Address(ctx, scenario.RoutedService)
	must(t, err)
	nodes = endpointNodes(t)
	must(t, bed.RoutedTo(ctx, address, nodes...))
	page, err := bed.Page(ctx, address)
	must(t, err)
	t.Logf("http://%s/, routed to %v: %s", address, nodes, page)
	return address, nodes
}

// endpointNodes returns the nodes on which the sample backend runs.
func endpointNodes(t *testing.T) (nodes []string) {
	t.Helper()
	var pods corev1.PodList
	must(t, bed.Client.List(background(t), &pods, client.InNamespace("default"), client.MatchingLabels{"app": "web"}))
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			nodes = append(nodes, p.Spec.NodeName)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

func TestRoutedAddressIsServedByAllItsNodesAndReportsThem(t *testing.T) {
	address, nodes := routed(t)
	if len(nodes) < 2 {
		t.Fatalf("the backend runs on %v only", nodes)
	}
	page, err := bed.Page(background(t), address)
	must(t, err)
	if client := "192.168.1.200"; !strings.Contains(page, client) {
		t.Errorf("the backend sees another client than %s: %s", client, page)
	}
	// A router has the route before the nodes have reported it to the cluster, one after the other.
	eventually.Succeed(t, within, "the Service names all that announce it", func(context.Context) error {
		message := announced(t, scenario.RoutedService, metav1.ConditionTrue, v1beta1.ReasonAnnounced)
		for _, word := range append(slices.Clone(nodes), address, "BGP", "router") {
			if !strings.Contains(message, word) {
				return fmt.Errorf("the message does not name %q: %s", word, message)
			}
		}
		return nil
	})
	eventually.Succeed(t, within, "the BGPPeer counts its sessions", func(ctx context.Context) error {
		peer := &v1beta1.BGPPeer{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: "router"}, peer); err != nil {
			return err
		}
		if all := int32(len(bed.Cluster.Nodes())); peer.Status.Nodes != all || peer.Status.Established != all {
			return fmt.Errorf("it has %d of %d sessions: %+v", peer.Status.Established, peer.Status.Nodes, peer.Status.Conditions)
		}
		return nil
	})
}

// pathsAreWatched waits until BFD is up on all nodes: before that, a router finds a lost node by its hold
// time alone.
func pathsAreWatched(t *testing.T) {
	t.Helper()
	eventually.Succeed(t, within, "BFD is up on all nodes", func(ctx context.Context) error {
		var states v1beta1.SpeakerStateList
		if err := bed.Client.List(ctx, &states); err != nil {
			return err
		}
		for i := range states.Items {
			for _, peer := range states.Items[i].Status.BGPPeers {
				if peer.BFD == nil || peer.BFD.State != v1beta1.BFDUp {
					return fmt.Errorf("on %s to %s it is %+v", states.Items[i].Name, peer.Name, peer.BFD)
				}
			}
		}
		return nil
	})
}

func TestTrafficLeavesARoutedNodeThatIsLost(t *testing.T) {
	faults := []scenario.Fault{bed.Faults()[0], bed.Faults()[1], {
		Name: "node without power",
		// The kernel closes connections of a killed process. A node without power does not.
		Hurt: func(_ context.Context, node string) error {
			return errors.Join(bed.Cluster.SetLink(node, false), bed.Cluster.Kill(node))
		},
		Heal: bed.Cluster.Start,
	}}
	for _, fault := range faults {
		t.Run(fault.Name, func(t *testing.T) {
			address, nodes := routed(t)
			pathsAreWatched(t)
			t.Cleanup(func() { must(t, bed.EveryoneSeesEveryone(background(t))) })
			t.Cleanup(func() { must(t, fault.Heal(background(t), nodes[0])) })
			moved, err := bed.LoseRoute(background(t), address, nodes[0], fault)
			must(t, err)
			t.Logf("connections failed or hung for %d ms", moved.Milliseconds())
			if moved > 10*time.Second {
				t.Errorf("that is as long as without BFD")
			}
		})
	}
}

func TestPlannedChangesOfRoutedNodesLoseNoConnection(t *testing.T) {
	t.Run("a rolling restart of the speakers", func(t *testing.T) {
		address, nodes := routed(t)
		c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
			return bed.RestartSpeakers(ctx, time.Now().Format(time.RFC3339Nano))
		})
		must(t, err)
		lossless(t, c, 0)
		must(t, bed.RoutedTo(background(t), address, nodes...))
	})
	t.Run("a node that is drained, and drained no more", func(t *testing.T) {
		address, nodes := routed(t)
		t.Cleanup(func() { must(t, bed.Drain(background(t), nodes[0], false)) })
		c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
			if err := bed.Drain(ctx, nodes[0], true); err != nil {
				return err
			}
			if err := bed.RoutedTo(ctx, address, nodes[1:]...); err != nil {
				return err
			}
			if err := bed.Drain(ctx, nodes[0], false); err != nil {
				return err
			}
			return bed.RoutedTo(ctx, address, nodes...)
		})
		must(t, err)
		lossless(t, c, 2)
	})
}

func TestReportOfASpeakerThatHangsDoesNotCount(t *testing.T) {
	address, nodes := routed(t)
	hangs := nodes[0]
	signal := func(name string) {
		_, err := bed.Cluster.Exec(context.Background(), hangs, "pkill", "-"+name, "-x", "speaker")
		must(t, err)
	}
	t.Cleanup(func() {
		signal("CONT")
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	signal("STOP")
	eventually.Succeed(t, within, "the BGPPeer reports that no node receives from the speaker", func(ctx context.Context) error {
		peer := &v1beta1.BGPPeer{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: "router"}, peer); err != nil {
			return err
		}
		c := meta.FindStatusCondition(peer.Status.Conditions, v1beta1.ConditionEstablished)
		if c == nil || int(peer.Status.Established) != len(bed.Cluster.Nodes())-1 || !strings.Contains(c.Message, hangs+": the other speakers receive nothing from the speaker of this node") {
			return fmt.Errorf("it has %d sessions: %+v", peer.Status.Established, c)
		}
		return nil
	})
	eventually.Succeed(t, within, "the Service does not name the node as announcing its address", func(ctx context.Context) error {
		svc := &corev1.Service{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: scenario.RoutedService}, svc); err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || c.Status != metav1.ConditionTrue || strings.Contains(c.Message, hangs) {
			return fmt.Errorf("the status of %s is %+v", address, c)
		}
		return nil
	})
}

func TestARouteGoesWithTheLastEndpointOfItsNode(t *testing.T) {
	address, nodes := routed(t)
	ctx, without := background(t), nodes[0]
	cordon := func(ctx context.Context, is bool) error {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: without}}
		return bed.Client.Patch(ctx, node, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, is)))
	}
	must(t, cordon(ctx, true))
	t.Cleanup(func() { must(t, cordon(context.Background(), false)) })
	var pods corev1.PodList
	must(t, bed.Client.List(ctx, &pods, client.InNamespace("default"), client.MatchingLabels{"app": "web"}))
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName == without {
			must(t, bed.Client.Delete(ctx, &pods.Items[i]))
		}
	}
	ended := time.Now()
	eventually.Succeed(t, within, "the router sends nothing to "+without, func(ctx context.Context) error {
		hops, err := bed.NextHops(ctx, address)
		if err == nil && (len(hops) == 0 || slices.Contains(hops, without)) {
			err = fmt.Errorf("the router sends %s to %v", address, hops)
		}
		return err
	})
	t.Logf("the route was gone %d ms after the pods were deleted", time.Since(ended).Milliseconds())
	// The next pod runs on another node, which then announces a route.
	eventually.Succeed(t, within, "the router sends to all nodes with an endpoint", func(ctx context.Context) error {
		hops, err := bed.NextHops(ctx, address)
		if now := endpointNodes(t); err == nil && !slices.Equal(hops, now) {
			err = fmt.Errorf("the router sends %s to %v, and endpoints are on %v", address, hops, now)
		}
		return err
	})
}

func TestARoutedAddressMayBeAnnouncedAtLayer2AsWell(t *testing.T) {
	routed(t)
	ctx := background(t)
	ad := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "both"}, Spec: v1beta1.BGPAdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"first-pool"}}}
	must(t, bed.Client.Create(ctx, ad))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(bed.Client.Delete(context.Background(), ad))) })
	address := served(t)
	must(t, bed.RoutedTo(ctx, address, bed.Cluster.Nodes()...))
	if _, err := bed.Settled(ctx, address); err != nil {
		t.Error(err)
	}
	eventually.Succeed(t, within, "the message names both", func(ctx context.Context) error {
		message := announced(t, scenario.SampleService, metav1.ConditionTrue, v1beta1.ReasonAnnounced)
		if !strings.Contains(message, "BGP") || !strings.Contains(message, "eth0") {
			return fmt.Errorf("it is: %s", message)
		}
		return nil
	})
}

func TestWrongASNIsReportedAndDisturbsNoOtherPeer(t *testing.T) {
	address, nodes := routed(t)
	ctx := background(t)
	patch := `{"spec":{"bgpPeers":[{"name":"wrong","myASN":64512,"peerASN":64999,"peerAddress":"fd00:192:168:1::1","connectRetrySeconds":1},
		{"name":"router","myASN":64512,"peerASN":64513,"peerAddress":"192.168.1.1","dualStackAddressFamily":true,"bfdProfile":"fast"}]}}`
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	must(t, bed.Client.Patch(ctx, stack, client.RawPatch(types.MergePatchType, []byte(patch))))
	t.Cleanup(func() { // the field manager of the patch owns the item, so that Apply leaves it
		must(t, bed.Client.Patch(background(t), stack, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"bgpPeers":null}}`))))
	})
	eventually.Succeed(t, within, "the speaker reports the failure", func(ctx context.Context) error {
		state, err := stateOf(ctx, nodes[0])
		if err != nil {
			return err
		}
		for _, p := range state.Status.BGPPeers {
			if p.Name == "wrong" && strings.Contains(p.LastError, "64513") {
				t.Log(p.LastError)
				return nil
			}
		}
		return fmt.Errorf("its sessions are %+v", state.Status.BGPPeers)
	})
	must(t, bed.RoutedTo(ctx, address, nodes...))
}

func TestAPassiveRouterOutsideOfTheStackIsReportedWithItsClosedPort(t *testing.T) {
	installed(t)
	ctx := background(t)
	must(t, bed.Apply(ctx, "lbstack_v1beta1_loadbalancerstack.yaml"))
	peer := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "standalone"}, Spec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.168.1.1", PassiveMode: true}}
	must(t, bed.Client.Create(ctx, peer))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(bed.Client.Delete(background(t), peer))) })
	eventually.Succeed(t, within, "the BGPPeer has the reason for the closed port", func(ctx context.Context) error {
		if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(peer), peer); err != nil {
			return err
		}
		c := meta.FindStatusCondition(peer.Status.Conditions, v1beta1.ConditionReady)
		if c == nil || c.Reason != v1beta1.ReasonPortClosed || !strings.Contains(c.Message, "NET_BIND_SERVICE") {
			return fmt.Errorf("its condition is %+v", c)
		}
		t.Log(c.Message)
		return nil
	})
}

func TestANodeThatShallHaveNoSpeakerHasNoSession(t *testing.T) {
	_, nodes := routed(t)
	ctx := background(t)
	const label = "lbstack.io/e2e-speaks"
	labelled := func(name string, value any) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{label: value}}})
		must(t, err)
		must(t, bed.Client.Patch(context.Background(), node, client.RawPatch(types.MergePatchType, patch)))
	}
	selects := func(value any) {
		stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"speaker": map[string]any{"nodeSelector": value}}})
		must(t, err)
		must(t, bed.Client.Patch(context.Background(), stack, client.RawPatch(types.MergePatchType, patch)))
	}
	without := nodes[0]
	for _, node := range bed.Cluster.Nodes() {
		if node != without {
			labelled(node, "yes")
		}
	}
	t.Cleanup(func() {
		selects(nil)
		for _, node := range bed.Cluster.Nodes() {
			labelled(node, nil)
		}
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	selects(map[string]string{label: "yes"})
	eventually.Succeed(t, within, "the BGPPeer counts the node no more", func(ctx context.Context) error {
		peer := &v1beta1.BGPPeer{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: "router"}, peer); err != nil {
			return err
		}
		if want := int32(len(bed.Cluster.Nodes()) - 1); peer.Status.Established != want || peer.Status.Nodes != want {
			return fmt.Errorf("it has %d sessions of %d nodes, want all of %d: %+v", peer.Status.Established, peer.Status.Nodes, want, peer.Status.Conditions)
		}
		return nil
	})
	// The controller sees that the pod ends before the speaker has written its last state.
	eventually.Succeed(t, within, "the speaker of "+without+" reports that it was stopped", func(ctx context.Context) error {
		return speakerReports(ctx, without, v1beta1.ReasonStopped)
	})
	state, err := stateOf(ctx, without)
	must(t, err)
	if state.Status.Phase != v1beta1.SpeakerStopped || len(state.Status.BGPPeers) == 0 || !strings.Contains(state.Status.BGPPeers[0].LastError, "the speaker on this node was stopped") {
		t.Errorf("the last state of %s is %s, with the sessions %+v", without, state.Status.Phase, state.Status.BGPPeers)
	}
}
