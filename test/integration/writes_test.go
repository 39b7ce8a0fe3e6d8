package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestController_AServiceCostsFourWrites counts in the audit log of the API server what the controller writes from the
// creation of a Service until it is announced, events included.
func TestController_AServiceCostsFourWrites(t *testing.T) {
	installed, b := newOperatorBed(t), newBed(t)
	installed.withoutLease("lbstack-controller")
	b.machine("writes", nil)
	b.pool("pool", "10.9.6.1-10.9.6.9")
	b.advertise("writes")
	env := []string{"KUBECONFIG=" + installed.tokenOf("lbstack-controller", ""), "POD_NAMESPACE=" + systemNamespace}
	start(t, "controller", env, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	b.poolReady("pool", v1beta1.ReasonPoolReady)

	// The endpoint and the speaker are ready: a Service that waits for one of them has a condition that says so.
	b.endpoints("web", "writes")
	b.speaker("writes").owns(1, "10.9.6.1")
	b.service("web")
	b.has("web", "10.9.6.1")
	b.announced("web", v1beta1.ReasonAnnounced)
	b.event("web", v1beta1.ReasonAnnounced)
	b.quiet()

	want := []string{"create events", "create ipaddressclaims", "patch services/status", "patch services/status"}
	eventually.Succeed(t, within, "the writes of the Service", func(context.Context) error {
		var got []string
		for _, r := range installed.requests("controller") {
			if o := r.ObjectRef; r.Verb != "get" && r.Verb != "list" && r.Verb != "watch" && (o.Namespace == b.namespace || o.Name == "10.9.6.1") {
				what := r.Verb + " " + o.Resource
				if o.Subresource != "" {
					what += "/" + o.Subresource
				}
				got = append(got, what)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}
