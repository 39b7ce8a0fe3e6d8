package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestController_AServiceCostsFourWrites counts in the audit log of the API server what the controller writes from the
// creation of a Service until it is announced, events included. Where the machine is busy the controller may read the
// EndpointSlice of a Service after the Service, and reports of it twice: so most of the Services have to cost four.
func TestController_AServiceCostsFourWrites(t *testing.T) {
	installed, b := newOperatorBed(t), newBed(t)
	installed.withoutLease("lbstack-controller")
	b.machine("writes", nil)
	b.pool("pool", "10.9.6.1-10.9.6.5")
	b.advertise("writes")
	env := []string{"KUBECONFIG=" + installed.tokenOf("lbstack-controller", ""), "POD_NAMESPACE=" + systemNamespace}
	start(t, "controller", env, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	b.poolReady("pool", v1beta1.ReasonPoolReady)
	b.speaker("writes").owns(1, "10.9.6.1", "10.9.6.2", "10.9.6.3", "10.9.6.4", "10.9.6.5")

	want := []string{"create events", "create ipaddressclaims", "patch services/status", "patch services/status"}
	const services = 5
	cheap := 0
	for i := 1; i <= services; i++ {
		name, address := fmt.Sprintf("web-%d", i), fmt.Sprintf("10.9.6.%d", i)
		b.endpoints(name, "writes")
		b.service(name, annotated(v1beta1.AnnotationLoadBalancerIPs, address))
		b.has(name, address)
		b.announced(name, v1beta1.ReasonAnnounced)
		b.event(name, v1beta1.ReasonAnnounced)
		b.quiet()
		diff := cmp.Diff(want, installed.writesAbout(t, name, address))
		if diff == "" {
			cheap++
			continue
		}
		t.Logf("writes for the Service %s (-want +got):\n%s", name, diff)
	}
	if cheap <= services/2 {
		t.Errorf("%d of %d Services took %q alone, want most of them", cheap, services, want)
	}
}

// writesAbout returns, sorted, what the controller has written about a Service with an address, once its event is in
// the audit log.
func (b *operatorBed) writesAbout(t *testing.T, service, address string) (writes []string) {
	t.Helper()
	eventually.Succeed(t, within, "the writes of the Service are in the audit log", func(context.Context) error {
		writes = nil
		for _, r := range b.requests("controller") {
			o := r.ObjectRef
			if r.Verb == "get" || r.Verb == "list" || r.Verb == "watch" || o.Name != address && !strings.HasPrefix(o.Name, service) {
				continue
			}
			what := r.Verb + " " + o.Resource
			if o.Subresource != "" {
				what += "/" + o.Subresource
			}
			writes = append(writes, what)
		}
		slices.Sort(writes)
		if !slices.Contains(writes, "create events") {
			return fmt.Errorf("there is no event among %q", writes)
		}
		return nil
	})
	return writes
}
