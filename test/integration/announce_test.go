package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestServiceReportsItsNodeOrWhyThereIsNone(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.machine("node2", map[string]string{corev1.LabelNodeExcludeBalancers: ""})
	b.controller()
	web := b.service("web")
	b.has("web", "10.9.0.1")
	b.announced("web", v1beta1.ReasonNoAdvertisement, "10.9.0.1", "there is no L2Advertisement")
	b.warned("web", v1beta1.ReasonNoAdvertisement)
	b.advertise("all")
	b.announced("web", v1beta1.ReasonNoEndpoints, b.namespace+"/web")
	b.endpoints("web", "node1")
	b.announced("web", v1beta1.ReasonNotAnnounced, "node1 (its speaker has not reported)")
	b.relabelNode("node1", map[string]string{corev1.LabelNodeExcludeBalancers: ""})
	b.announced("web", v1beta1.ReasonNoNode, "node1 has the label "+corev1.LabelNodeExcludeBalancers)
	b.relabelNode("node1", nil)
	b.announced("web", v1beta1.ReasonNotAnnounced, "node1")
	b.ready("node1", corev1.ConditionFalse)
	b.announced("web", v1beta1.ReasonNotAnnounced, "node1 (not ready)")
	b.ready("node1", corev1.ConditionTrue)
	node1 := b.speaker("node1")
	node1.owns(1, "10.9.0.1")
	since := node1.status.Addresses[0].Since.UTC().Format(time.RFC3339)
	b.announced("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by node1 on eth0 since "+since)
	b.serviceEvent("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by node1")
	b.has("web", "10.9.0.1") // the other condition is as it was
	b.nothingIsWritten()

	// What lbstack does not serve has no such condition.
	b.edit(web, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.unsaid("web")
	b.edit(web, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeLoadBalancer })
	b.has("web", "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced)
	b.service("none", from("nope"))
	b.refused("none", v1beta1.ReasonUnknownPool)
	b.unsaid("none")
}

func TestServiceReportsTheNewNodeOfItsAddress(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.machine("node2", nil)
	b.advertise("all")
	controller := b.controller()
	node1, node2 := b.speaker("node1"), b.speaker("node2")
	b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	node2.owns(2, "10.9.0.1") // node1 died: what it reported stays
	b.announced("web", v1beta1.ReasonAnnounced, "by node2")
	b.serviceEvent("web", v1beta1.ReasonAnnounced, "moved from node1 to node2")
	crash(controller)
	node1.owns(3, "10.9.0.1")
	b.controller()
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	b.serviceEvents(2, "web", v1beta1.ReasonAnnounced, "is announced by node1") // the first controller has, too
	b.nothingIsWritten()

	// The only one that may announce dies, and nobody writes its report anew.
	b.ready("node1", corev1.ConditionUnknown)
	b.announced("web", v1beta1.ReasonAnnounced, "by node1") // node2 could take over, and does not
	b.ready("node2", corev1.ConditionUnknown)
	b.ready("node1", corev1.ConditionFalse)
	b.announced("web", v1beta1.ReasonNotAnnounced, "the node node1, which owns the address, is not ready")
	b.warned("web", v1beta1.ReasonNotAnnounced)
	b.ready("node1", corev1.ConditionTrue)
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
}

func TestServiceOfSeveralAddressesReportsAll(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9", several)
	b.machine("node1", nil)
	b.machine("node2", nil)
	b.advertise("all")
	b.controller()
	node1, node2 := b.speaker("node1"), b.speaker("node2")
	b.service("web", asking("10.9.0.1,10.9.0.2"))
	b.endpoints("web", "node1")
	b.shows("web", "10.9.0.1,10.9.0.2", v1beta1.ReasonAllocated)
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonNotAnnounced, "10.9.0.1 is announced by node1", "; 10.9.0.2 is not announced yet")
	node2.owns(1, "10.9.0.2")
	b.announced("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by node1", "; 10.9.0.2 is announced by node2")
}

func TestServicesThatShareAnAddressReportTheSame(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("all")
	b.controller()
	b.service("tcp", sharing("key"))
	b.has("tcp", "10.9.0.1")
	b.service("tls", sharing("key"), on("443/TCP"))
	b.share("10.9.0.1", "tcp", "tls")
	b.announced("tcp", v1beta1.ReasonNoEndpoints, "/tcp", "/tls")
	b.endpoints("tls", "node1") // of the one, and it is announced for both
	b.announced("tcp", v1beta1.ReasonNotAnnounced)
	b.announced("tls", v1beta1.ReasonNotAnnounced)
	b.speaker("node1").owns(1, "10.9.0.1")
	b.announced("tcp", v1beta1.ReasonAnnounced, "by node1")
	b.announced("tls", v1beta1.ReasonAnnounced, "by node1")
}

func TestManyServicesThatMoveAtOnceAreWrittenOnceEach(t *testing.T) {
	const n = 120
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.200")
	b.machine("node1", nil)
	b.machine("node2", nil)
	b.advertise("all")
	b.controller()
	node1, node2 := b.speaker("node1"), b.speaker("node2")
	b.burst("web", n)
	var addresses []string
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("10.9.0.%d", i+1))
	}
	node1.owns(1, addresses...)
	by := func(node string) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			var services corev1.ServiceList
			if err := b.List(ctx, &services, client.InNamespace(b.namespace)); err != nil {
				return err
			}
			for _, svc := range services.Items {
				found := false
				for _, c := range svc.Status.Conditions {
					found = found || c.Type == v1beta1.ServiceAnnounced && strings.Contains(c.Message, "by "+node)
				}
				if !found {
					return fmt.Errorf("%s: %+v", svc.Name, svc.Status.Conditions)
				}
			}
			return nil
		}
	}
	eventually.Succeed(t, slowly, "all are announced by node1", by("node1"))
	writes := b.countWrites()
	began := time.Now()
	node2.owns(2, addresses...)
	eventually.Succeed(t, slowly, "all are announced by node2", by("node2"))
	t.Logf("%d Services reported their move after %s", n, time.Since(began))
	b.nothingIsWritten()
	if got := writes(); got != n {
		t.Errorf("writes of Services: got %d, want one for each of %d", got, n)
	}
}

// countWrites counts the changes of Services from now on, until it is asked.
func (b *bed) countWrites() (stop func() int) {
	b.Helper()
	_, watched := b.watchServices()
	count := make(chan int)
	go func() {
		n := 0
		for e := range watched.ResultChan() {
			if e.Type == watch.Modified {
				n++
			}
		}
		count <- n
	}()
	return func() int {
		watched.Stop()
		return <-count
	}
}
