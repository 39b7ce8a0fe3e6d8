package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/test/apiserver"
	"github.com/lbstack/lbstack/test/eventually"
)

const (
	// namespace of the speakers, and of the Services.
	namespace = "lbstack-system"
	// pool has the addresses that the nodes own: see ownAddress.
	pool = "bench"
	// parallel is how many objects are created at once.
	parallel = 8
	// images is how many images a Node lists: as many as a kubelet reports at most.
	images = 50
	// reportInterval is how often a kubelet reports the conditions of a Node that have not changed.
	reportInterval = 5 * time.Minute
)

// cluster is an API server with the objects of a number of nodes. A speaker reads Nodes, the pods of the speakers,
// Services with their claims and EndpointSlices, and a few objects of which there is one. It reads no
// SpeakerState but its own.
type cluster struct {
	server *apiserver.Server
	client client.Client
	size   int
}

func newCluster(ctx context.Context, size int) (c *cluster, err error) {
	c = &cluster{size: size}
	if c.server, err = apiserver.Start(); err != nil {
		return nil, err
	}
	if c.client, err = c.server.Client(); err == nil {
		err = c.fill(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.server.Stop())
	}
	return c, nil
}

// fill creates all objects.
func (c *cluster) fill(ctx context.Context) error {
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: pool}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.1.0.0/16"}}},
		&v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: pool}},
	} {
		if err := c.client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range c.size {
		group.Go(func() error { return errors.Join(c.addNode(ctx, i), c.addSpeaker(ctx, i), c.addService(ctx, i)) })
	}
	return group.Wait()
}

// create creates an object with its status.
func (c *cluster) create(ctx context.Context, object client.Object, setStatus func()) error {
	setStatus() // a copy of the object, which the API server returns without it
	if err := c.client.Create(ctx, object); err != nil {
		return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
	}
	setStatus()
	if err := c.client.Status().Update(ctx, object); err != nil {
		return fmt.Errorf("writing the status of %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

// addNode creates a Node of the usual size.
func (c *cluster) addNode(ctx context.Context, i int) error {
	name := string(nodeName(i))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name,
		Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), corev1.LabelTopologyRegion: "region",
		},
	}}
	return c.create(ctx, node, func() {
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address(i).Addr().String()}, {Type: corev1.NodeHostName, Address: name}}
		for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: kind, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficient", LastHeartbeatTime: metav1.Now()})
		}
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now()})
		for n := range images {
			image := fmt.Sprintf("registry.example.com/project/image-%d", n)
			node.Status.Images = append(node.Status.Images, corev1.ContainerImage{Names: []string{fmt.Sprintf("%s@sha256:%064d", image, n), image + ":v1.0.0"}, SizeBytes: 50 << 20})
		}
	})
}

// addSpeaker creates the pod of a speaker.
func (c *cluster) addSpeaker(ctx context.Context, i int) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("lbstack-speaker-%d", i), Labels: map[string]string{v1beta1.LabelComponent: "speaker"}},
		Spec: corev1.PodSpec{
			NodeName: string(nodeName(i)), HostNetwork: true,
			Containers: []corev1.Container{{Name: "speaker", Image: "registry.example.com/lbstack"}},
		},
	}
	return c.create(ctx, pod, func() {
		ip := address(i).Addr().String()
		pod.Status = corev1.PodStatus{
			Phase: corev1.PodRunning, HostIP: ip, HostIPs: []corev1.HostIP{{IP: ip}}, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}
	})
}

// addService creates a Service with the address that a node owns, and an endpoint on that node.
func (c *cluster) addService(ctx context.Context, i int) error {
	ip, name, node := ownAddress(i), fmt.Sprintf("service-%d", i), string(nodeName(i))
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(bool), Ports: []corev1.ServicePort{{Port: 80}}},
	}
	err := c.create(ctx, svc, func() {
		svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip.String()}}
	})
	if err != nil {
		return err
	}
	ready := true
	for _, object := range []client.Object{
		&v1beta1.IPAddressClaim{
			ObjectMeta: metav1.ObjectMeta{Name: apiconv.ClaimName(ip)},
			Spec: v1beta1.IPAddressClaimSpec{
				Address: ip.String(), Pool: pool, State: v1beta1.ClaimInUse, Holders: []v1beta1.ClaimHolder{{Namespace: namespace, Name: name, UID: svc.UID}},
			},
		},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}).String()}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			}},
		},
	} {
		if err := c.client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
		}
	}
	return nil
}

// report writes the conditions of the Nodes, as their kubelets do while nothing changes, until the context ends.
func (c *cluster) report(ctx context.Context) error {
	tick := time.NewTicker(reportInterval / time.Duration(c.size))
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % c.size {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339))
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: string(nodeName(i))}}
		if err := c.client.Status().Patch(ctx, node, client.RawPatch(types.StrategicMergePatchType, patch)); err != nil && ctx.Err() == nil {
			return fmt.Errorf("writing the status of the Node %s: %w", node.Name, err)
		}
	}
}

// awaitSpeaker waits until the speaker of node 0 reports that all others are alive, and that it owns its address.
func (c *cluster) awaitSpeaker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return eventually.Poll(ctx, func(ctx context.Context) error {
		state := &v1beta1.SpeakerState{}
		if err := c.client.Get(ctx, client.ObjectKey{Name: string(nodeName(0))}, state); err != nil {
			return err
		}
		if s := &state.Status; s.Phase != v1beta1.SpeakerActive || int(s.LiveSpeakers) != c.size || s.AddressCount != 1 {
			return fmt.Errorf("the speaker is %s, has %d of %d speakers alive, and owns %d addresses, want 1: %+v", s.Phase, s.LiveSpeakers, c.size, s.AddressCount, s.Conditions)
		}
		return nil
	})
}
