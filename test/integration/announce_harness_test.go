package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// foreignMAC is the hardware address of a host that is no node of the cluster.
const foreignMAC = "02:00:00:00:00:99"

// speaker writes the SpeakerState of a node, as a real speaker does.
type speaker struct {
	*bed
	node   string
	status v1beta1.SpeakerStateStatus
}

func (b *bed) speaker(node string) *speaker {
	b.Helper()
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node}}
	create(b.T, b.Client, state)
	b.Cleanup(func() {
		_ = b.Delete(context.Background(), &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-0"}})
		_ = b.Delete(context.Background(), state)
	})
	return &speaker{bed: b, node: node, status: v1beta1.SpeakerStateStatus{
		Phase: v1beta1.SpeakerActive, LiveSpeakers: 1,
		Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", HardwareAddress: "02:00:00:00:00:01", Families: []string{"IPv4", "IPv6"}}},
	}}
}

// owns reports that the node has exactly these addresses. Addresses that the node had before
// are reported with the same time as before.
func (s *speaker) owns(epoch int64, addresses ...string) {
	s.Helper()
	had := map[string]v1beta1.SpeakerAddress{}
	for _, a := range s.status.Addresses {
		had[a.Address] = a
	}
	s.status.Addresses = nil
	for _, address := range addresses {
		a, ok := had[address]
		if !ok || a.Epoch != epoch {
			a = v1beta1.SpeakerAddress{Address: address, Interfaces: []v1beta1.InterfaceName{"eth0"}, Since: metav1.NewTime(time.Now().Truncate(time.Second)), Epoch: epoch}
		}
		s.status.Addresses = append(s.status.Addresses, a)
	}
	s.write()
}

// setConflicts reports that a foreign host uses exactly these addresses. announced:
// the node announces the addresses all the same.
func (s *speaker) setConflicts(announced bool, addresses ...string) {
	s.Helper()
	s.status.Conflicts = nil
	for _, address := range addresses {
		s.status.Conflicts = append(s.status.Conflicts, v1beta1.SpeakerConflict{
			Address: address, Interface: "eth0", HardwareAddress: foreignMAC, Announced: announced, Since: metav1.NewTime(time.Now().Truncate(time.Second)),
		})
	}
	s.write()
}

func (s *speaker) write() {
	s.Helper()
	s.status.AddressCount = int32(len(s.status.Addresses))
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { // the controller writes two conditions of the same object
		state := &v1beta1.SpeakerState{}
		if err := s.Get(context.Background(), client.ObjectKey{Name: s.node}, state); err != nil {
			return err
		}
		controllers := slices.DeleteFunc(state.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type != v1beta1.ConditionCurrent && c.Type != v1beta1.ConditionPartitioned
		})
		state.Status = *s.status.DeepCopy()
		state.Status.Conditions = append(state.Status.Conditions, controllers...)
		return s.Status().Update(context.Background(), state)
	})
	if err != nil {
		s.Fatalf("writing the SpeakerState %s: %v", s.node, err)
	}
}

// misses reports that the speaker misses exactly the speakers of these nodes.
func (s *speaker) misses(nodes ...v1beta1.NodeName) {
	s.Helper()
	s.status.MissingSpeakers = nodes
	s.write()
}

// current waits until the controller reports whether the state is current, within the time
// that the controller may take.
func (s *speaker) current(status metav1.ConditionStatus, reason string) {
	s.Helper()
	s.condition(v1beta1.ConditionCurrent, status, reason)
}

// condition waits until the controller has set a condition of the state, within the time that the
// controller may take, and returns the condition.
func (s *speaker) condition(kind string, status metav1.ConditionStatus, reason string) (c *metav1.Condition) {
	s.Helper()
	eventually.Succeed(s.T, within, fmt.Sprintf("the state of %s has %s %s %s", s.node, kind, status, reason), func(ctx context.Context) error {
		state := &v1beta1.SpeakerState{}
		if err := s.Get(ctx, client.ObjectKey{Name: s.node}, state); err != nil {
			return err
		}
		c = meta.FindStatusCondition(state.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason || c.Message == "" {
			return fmt.Errorf("condition %+v", c)
		}
		if state.Status.LiveSpeakers != s.status.LiveSpeakers || len(state.Status.Interfaces) != len(s.status.Interfaces) {
			return fmt.Errorf("what the speaker reported has changed: %+v", state.Status)
		}
		return nil
	})
	return c
}

// claimConflict waits until the claim of an address reports the foreign host, or
// no host.
func (b *bed) claimConflict(address string, want bool) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the claim of %s reports a foreign host: %v", address, want), func(ctx context.Context) error {
		claim, err := b.claim(ctx, address)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(claim.Status.Conditions, v1beta1.ConditionConflict)
		if (c != nil) != want || (c != nil && (c.Reason != v1beta1.ReasonForeignHost || !strings.Contains(c.Message, foreignMAC))) {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

// poolConflict waits until a pool reports the foreign host on an address, or without
// an address until it reports none.
func (b *bed) poolConflict(name, address string) {
	b.Helper()
	if address == "" {
		b.poolCondition(name, v1beta1.ConditionConflict, v1beta1.ReasonNoConflict)
		return
	}
	pool := b.poolCondition(name, v1beta1.ConditionConflict, v1beta1.ReasonForeignHost)
	c := meta.FindStatusCondition(pool.Status.Conditions, v1beta1.ConditionConflict)
	if !strings.Contains(c.Message, address) || !strings.Contains(c.Message, foreignMAC) {
		b.Errorf("the pool %s: got %q, want it to name %s and %s", name, c.Message, address, foreignMAC)
	}
}

// warned waits for a Warning event on an object whose note has all of these parts.
func (b *bed) warned(name, reason string, parts ...string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("a warning %s on %s that names %v", reason, name, parts), func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := b.List(ctx, &list); err != nil {
			return err
		}
		var notes []string
		for _, e := range list.Items {
			if !e.EventTime.After(b.began) || e.Regarding.Name != name || e.Reason != reason || e.Type != corev1.EventTypeWarning {
				continue
			}
			if containsAll(e.Note, parts) {
				return nil
			}
			notes = append(notes, e.Note)
		}
		return fmt.Errorf("found %q", notes)
	})
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// machine creates a node that is ready.
func (b *bed) machine(name string, labels map[string]string) {
	b.Helper()
	create(b.T, b.Client, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	b.ready(name, corev1.ConditionTrue)
}

// ready sets the Ready condition of a node.
func (b *bed) ready(name string, is corev1.ConditionStatus) {
	b.Helper()
	node := &corev1.Node{}
	if err := b.Get(context.Background(), client.ObjectKey{Name: name}, node); err != nil {
		b.Fatal(err)
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: is, Reason: "Test", LastHeartbeatTime: metav1.Now()}}
	if err := b.Status().Update(context.Background(), node); err != nil {
		b.Fatalf("writing the status of the node %s: %v", name, err)
	}
}

// relabelNode replaces the labels of a node.
func (b *bed) relabelNode(name string, labels map[string]string) {
	b.Helper()
	node := &corev1.Node{}
	if err := b.Get(context.Background(), client.ObjectKey{Name: name}, node); err != nil {
		b.Fatal(err)
	}
	node.Labels = labels
	if err := b.Update(context.Background(), node); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) advertise(name string, edits ...func(*v1beta1.L2AdvertisementSpec)) {
	b.Helper()
	ad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, edit := range edits {
		edit(&ad.Spec)
	}
	create(b.T, b.Client, ad)
}

// endpoints gives a Service one ready endpoint on each of these nodes.
func (b *bed) endpoints(service string, nodes ...string) {
	b.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: b.namespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for i, node := range nodes {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.244.0.%d", i+1)}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		})
	}
	create(b.T, b.Client, slice)
}

// announced waits until the condition lbstack.io/Announced of a Service has the
// reason and a message with all of these parts.
func (b *bed) announced(name, reason string, parts ...string) {
	b.Helper()
	status := metav1.ConditionFalse
	if reason == v1beta1.ReasonAnnounced {
		status = metav1.ConditionTrue
	}
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s has the reason %s and %q", name, reason, parts), func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || c.Status != status || c.Reason != reason || !containsAll(c.Message, parts) || c.ObservedGeneration != svc.Generation {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

// unsaid waits until a Service has no condition lbstack.io/Announced.
func (b *bed) unsaid(name string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s has no condition Announced", name), func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced); c != nil {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

// serviceEvent waits for an event on a Service whose note has all of these parts.
func (b *bed) serviceEvent(name, reason string, parts ...string) {
	b.Helper()
	b.serviceEvents(1, name, reason, parts...)
}

// serviceEvents waits until this number of processes have each sent an event on a Service with a reason and parts of its note.
func (b *bed) serviceEvents(processes int, name, reason string, parts ...string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%d events %s on %s that name %v", processes, reason, name, parts), func(ctx context.Context) error {
		notes, err := b.notes(ctx, name, reason)
		if err != nil {
			return err
		}
		sent := 0
		for _, note := range notes {
			if containsAll(note, parts) {
				sent++
			}
		}
		if sent < processes {
			return fmt.Errorf("found %q", notes)
		}
		return nil
	})
}

// notes returns the notes of the events on a Service with a reason.
func (b *bed) notes(ctx context.Context, name, reason string) (notes []string, err error) {
	var list eventsv1.EventList
	if err := b.List(ctx, &list, client.InNamespace(b.namespace)); err != nil {
		return nil, err
	}
	for _, e := range list.Items {
		if e.Regarding.Name == name && e.Reason == reason {
			notes = append(notes, e.Note)
		}
	}
	return notes, nil
}

// quiet waits until all Services with an address have sent the event of their condition Announced:
// that no node announces an address has an event only after some time.
func (b *bed) quiet() {
	b.Helper()
	eventually.Succeed(b.T, within, "all Services have sent the event of their condition Announced", func(ctx context.Context) error {
		var services corev1.ServiceList
		if err := b.List(ctx, &services, client.InNamespace(b.namespace)); err != nil {
			return err
		}
		for i := range services.Items {
			svc := &services.Items[i]
			if ingress(svc) == "" || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
				continue
			}
			c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
			if c == nil {
				return fmt.Errorf("%s has no condition", svc.Name)
			}
			if notes, err := b.notes(ctx, svc.Name, c.Reason); err != nil || len(notes) == 0 {
				return fmt.Errorf("%s has no event %s: %v", svc.Name, c.Reason, err)
			}
		}
		return nil
	})
}
