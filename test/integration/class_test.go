package integration

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/test/eventually"
)

// An administrator sets a class on a running stack, and takes it back.
func TestServicesStayOnTheirAddressesWhenTheClassChanges(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	const class = "example.com/lb"
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.quiet()
	keeps := func(name, address, message string) {
		t.Helper()
		eventually.Succeed(t, within, fmt.Sprintf("the Service %s still has %s, with %q", name, address, message), func(ctx context.Context) error {
			svc, err := b.get(ctx, name)
			if err != nil {
				return err
			}
			if c := allocated(svc); ingress(svc) != address || c == nil || !strings.HasSuffix(c.Message, message) {
				return fmt.Errorf("status has %q, condition %s", ingress(svc), allocatedText(svc))
			}
			return b.claimed(ctx, address, svc)
		})
	}
	const other = "since the field is immutable, create the Service again with the class that lbstack serves"

	controller.stop(syscall.SIGTERM)
	controller = b.controller("--load-balancer-class=" + class)
	keeps("web", "10.9.0.1", other)
	b.service("plain")
	b.service("classed", func(svc *corev1.Service) { svc.Spec.LoadBalancerClass = new(class) })
	b.has("classed", "10.9.0.2")
	b.nothingIsWritten()
	plain, err := b.get(context.Background(), "plain")
	if err != nil || ingress(plain) != "" || allocated(plain) != nil {
		t.Errorf("a new Service without the class: got %q, %v, condition %s, want nothing", ingress(plain), err, allocatedText(plain))
	}

	controller.stop(syscall.SIGTERM)
	b.controller()
	b.has("plain", "10.9.0.3")
	keeps("classed", "10.9.0.2", other)
	keeps("web", "10.9.0.1", `the Service has 10.9.0.1 from the pool "pool"`)
}
