package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

func stateOf(ctx context.Context, node string) (*v1beta1.SpeakerState, error) {
	state := &v1beta1.SpeakerState{}
	return state, bed.Client.Get(ctx, client.ObjectKey{Name: node}, state)
}

// announced waits until the condition Announced of a Service has a status and a
// reason, and returns its message.
func announced(t *testing.T, service string, status metav1.ConditionStatus, reason string) (message string) {
	t.Helper()
	eventually.Succeed(t, within, service+" is announced "+string(status)+": "+reason, func(ctx context.Context) error {
		svc := &corev1.Service{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: service}, svc); err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("its condition is %+v", c)
		}
		message = c.Message
		return nil
	})
	t.Log(message)
	return message
}

func TestServiceNamesItsAnnouncingNode(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	message := announced(t, scenario.SampleService, metav1.ConditionTrue, v1beta1.ReasonAnnounced)
	for _, word := range []string{address, owner.Node, owner.Interface} {
		if !strings.Contains(message, word) {
			t.Errorf("the message does not name %q: %s", word, message)
		}
	}
}

func TestServiceWithoutEndpointsIsNotAnnouncedAndReportsIt(t *testing.T) {
	installed(t)
	address := served(t)
	scale(t, 0)
	announced(t, scenario.SampleService, metav1.ConditionFalse, v1beta1.ReasonNoEndpoints)
	if out, err := bed.Cluster.Exec(background(t), "client", "arping", "-c", "1", "-w", "1", "-i", "eth0", address); err == nil {
		t.Errorf("somebody answers for %s:\n%s", address, out)
	}
	scale(t, 3)
	announced(t, scenario.SampleService, metav1.ConditionTrue, v1beta1.ReasonAnnounced)
	_, err := bed.Page(background(t), address)
	must(t, err)
}

// scale sets how many backends there are, until the test ends.
func scale(t *testing.T, replicas int) {
	t.Helper()
	set := func(n int) {
		patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, n)
		web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
		must(t, bed.Client.Patch(background(t), web, client.RawPatch(types.MergePatchType, []byte(patch))))
	}
	set(replicas)
	t.Cleanup(func() { set(3) })
}

func TestWithLocalTrafficPolicyTheNodeOfTheEndpointAnnounces(t *testing.T) {
	installed(t)
	scale(t, 1)
	balancerWith(t, "local", func(svc *corev1.Service) { svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal })
	address, err := bed.Address(background(t), "local")
	must(t, err)
	announced(t, "local", metav1.ConditionTrue, v1beta1.ReasonAnnounced)
	_, err = bed.Page(background(t), address)
	must(t, err)
	eventually.Succeed(t, within, "the node with the endpoint announces", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := bed.Client.List(ctx, &pods, client.InNamespace("default"), client.MatchingLabels{"app": "web"}); err != nil {
			return err
		}
		owner, err := bed.Owner(ctx, address)
		if err != nil {
			return err
		}
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp == nil && pods.Items[i].Spec.NodeName != owner.Node {
				return fmt.Errorf("%s announces, the endpoint is on %s", owner.Node, pods.Items[i].Spec.NodeName)
			}
		}
		return nil
	})
}

func TestIPv6IsAnnouncedAndFailsOver(t *testing.T) {
	installed(t)
	pool(t, "six", "fd00:192:168:1::f0-fd00:192:168:1::ff")
	balancerWith(t, "six", func(svc *corev1.Service) {
		svc.Annotations = map[string]string{v1beta1.AnnotationAddressPool: "six"}
		svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
	})
	address, err := bed.Address(background(t), "six")
	must(t, err)
	page := func(ctx context.Context) error { _, err := bed.Page(ctx, "["+address+"]"); return err }
	must(t, page(background(t)))
	before, err := bed.Owner(background(t), address)
	must(t, err)
	must(t, bed.Cluster.SetLink(before.Node, false))
	t.Cleanup(func() { must(t, bed.Cluster.SetLink(before.Node, true)) })
	eventually.Succeed(t, within, "another node serves the address", func(ctx context.Context) error {
		if err := page(ctx); err != nil {
			return err
		}
		now, err := bed.Owner(ctx, address)
		if err == nil && now.Node == before.Node {
			err = fmt.Errorf("the client still sends to %s", now.Node)
		}
		return err
	})
}

func TestAnAddressThatAForeignHostUsesIsLeftToIt(t *testing.T) {
	installed(t)
	// A pool of its own: the pool holds the address back for some time afterwards.
	const foreign = "192.168.1.230"
	pool(t, "taken", "192.168.1.230-192.168.1.232")
	fromThere := map[string]string{v1beta1.AnnotationAddressPool: "taken"}
	_, err := bed.Cluster.Exec(background(t), "router", "ip", "address", "add", foreign+"/32", "dev", "eth0")
	must(t, err)
	t.Cleanup(func() {
		_, err := bed.Cluster.Exec(background(t), "router", "ip", "address", "del", foreign+"/32", "dev", "eth0")
		must(t, err)
	})
	var mac string
	must(t, bed.Cluster.RunInHost("router", func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err == nil {
			mac = ifi.HardwareAddr.String()
		}
		return err
	}))
	balancerWith(t, "asks", func(svc *corev1.Service) {
		svc.Annotations = map[string]string{v1beta1.AnnotationLoadBalancerIPs: foreign}
	})
	message := announced(t, "asks", metav1.ConditionFalse, v1beta1.ReasonAddressConflict)
	if !strings.Contains(message, mac) {
		t.Errorf("the message does not have the MAC %s: %s", mac, message)
	}
	// With Report the nodes answer for the address as well, and the MAC is still named. The speakers read
	// this field of the stack themselves, so that no speaker restarts.
	detect := func(setting string) {
		t.Helper()
		stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
		must(t, bed.Client.Patch(background(t), stack, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"layer2":{"conflictDetection":`+setting+`}}}`))))
	}
	t.Cleanup(func() { detect("null") })
	detect(`"Report"`)
	eventually.Succeed(t, within, "the message names the foreign host", func(context.Context) error {
		if now := announced(t, "asks", metav1.ConditionTrue, v1beta1.ReasonAnnounced); !strings.Contains(now, mac) {
			return fmt.Errorf("got %q, want the MAC %s", now, mac)
		}
		return nil
	})
	detect("null")
	withdraw(t, "asks")
	balancerWith(t, "takes-any", func(svc *corev1.Service) { svc.Annotations = fromThere })
	announced(t, "takes-any", metav1.ConditionTrue, v1beta1.ReasonAnnounced)
	got, err := bed.Address(background(t), "takes-any")
	must(t, err)
	if got == foreign {
		t.Errorf("the Service has %s, which a foreign host uses", got)
	}
	_, err = bed.Page(background(t), got)
	must(t, err)
}
