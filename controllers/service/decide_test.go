package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

const poolKey, addressKey, sharingKey = v1beta1.AnnotationAddressPool, v1beta1.AnnotationLoadBalancerIPs, v1beta1.AnnotationAllowSharedIP

func TestDecide(t *testing.T) {
	type list = []ipam.Holding
	const prefer, require = corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack
	mine, second := holding("10.0.0.2", "auto", web), holding("10.0.0.3", "auto", web)
	six, sixth := holding("2001:db8::", "six", web), holding("2001:db8::2", "six", web)
	theirs := holding("10.0.0.0", "auto", other)
	tests := []struct {
		name       string
		svc        *corev1.Service
		held       list
		keep, drop list
		refusal    ipam.Reason
		missing    ipam.Reason
		invalid    bool
	}{
		{name: "a new Service gets the lowest free address", svc: service(), held: list{theirs}, keep: list{holding("10.0.0.1", "auto", web)}},
		{name: "a Service that asks for nothing special keeps what it has", svc: service(), held: list{mine}, keep: list{mine}},
		{name: "a Service keeps what it has from a pool that is gone", svc: service(), held: list{holding("10.9.9.9", "gone", web)}, keep: list{holding("10.9.9.9", "gone", web)}},
		{name: "a Service that asks for another address drops the one it has", svc: service(addressKey, "10.0.0.1"), held: list{mine}, keep: list{holding("10.0.0.1", "auto", web)}, drop: list{mine}},
		{name: "a Service that asks for another pool drops the address that it has", svc: service(poolKey, "manual"), held: list{mine}, keep: list{holding("10.0.1.0", "manual", web)}, drop: list{mine}},
		{name: "a Service has one address and drops the rest", svc: service(), held: list{mine, second}, keep: list{mine}, drop: list{second}},
		{name: "of two that it has a Service keeps the one that it asks for", svc: service(addressKey, "10.0.0.3"), held: list{mine, second}, keep: list{second}, drop: list{mine}},
		{name: "a Service gets the two addresses that it asks for", svc: service(addressKey, "10.0.0.3,10.0.0.1"), held: list{mine}, keep: list{holding("10.0.0.1", "auto", web), second}, drop: list{mine}},

		{name: "a Service that requires both families gets both", svc: dualStack(require), keep: list{holding("10.0.0.0", "auto", web), six}},
		{name: "a Service that adds a family keeps the address that it has", svc: dualStack(prefer), held: list{mine}, keep: list{mine, six}},
		{name: "a Service that leaves a family drops that address", svc: service(), held: list{mine, sixth}, keep: list{mine}, drop: list{sixth}},
		{name: "a Service that prefers both is content with one", svc: dualStack(prefer, poolKey, "auto"), keep: list{holding("10.0.0.0", "auto", web)}, missing: v1beta1.ReasonNoPool},
		{name: "a Service that requires both is not", svc: dualStack(require, poolKey, "auto"), refusal: v1beta1.ReasonNoPool},

		{name: "what a Service has stays when the pool that it names does not exist", svc: service(poolKey, "nope"), held: list{mine}, keep: list{mine}, refusal: v1beta1.ReasonUnknownPool},
		{name: "what a Service has stays when the address that it wants is taken", svc: service(addressKey, "10.0.0.0"), held: list{theirs, mine, second}, keep: list{mine, second}, refusal: v1beta1.ReasonAddressInUse},
		{name: "addresses of a Service stay when its request is invalid", svc: service(addressKey, "web.example"), held: list{mine}, keep: list{mine}, refusal: v1beta1.ReasonInvalidRequest, invalid: true},
		{name: "what a Service has stays when it requires a family that cannot be had", svc: dualStack(require, poolKey, "auto"), held: list{mine}, keep: list{mine}, refusal: v1beta1.ReasonNoPool},
		{name: "a new Service that cannot be served has nothing", svc: service(poolKey, "nope"), held: list{theirs}, refusal: v1beta1.ReasonUnknownPool},
		{name: "a new Service with an invalid request gets nothing", svc: service(addressKey, "web.example"), held: list{theirs}, refusal: v1beta1.ReasonInvalidRequest, invalid: true},
	}
	reason := func(r *ipam.Refusal) ipam.Reason {
		if r == nil {
			return ""
		}
		return r.Reason
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t, tt.held...)
			got := decideService(l, tt.svc, nil)
			if diff := cmp.Diff(tt.keep, got.Keep, byAddr); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.drop, got.Drop, byAddr); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
			if reason(got.Refusal) != tt.refusal || reason(got.Missing) != tt.missing || got.invalid != tt.invalid {
				t.Errorf("got refusal %+v, missing %+v, invalid %v, want %q, %q, %v", got.Refusal, got.Missing, got.invalid, tt.refusal, tt.missing, tt.invalid)
			}
			// What is dropped is free only when its claim is gone.
			if held, want := len(has(l, web)), len(tt.keep)+len(tt.drop); held != want {
				t.Errorf("in the view: got %v, want %d addresses", has(l, web), want)
			}
		})
	}
}

func TestInvalidRequestIsCountedAndDoesNotWait(t *testing.T) {
	l := filled(t)
	d := decideService(l, service(addressKey, "web.example"), nil)
	if want := "annotation lbstack.io/load-balancer-ips: \"web.example\" is not an IP address"; d.Refusal.Message != want {
		t.Errorf("message: got %s, want %s", d.Refusal.Message, want)
	}
	if diff := cmp.Diff(map[ipam.Reason]int{ipam.ReasonInvalidRequest: 1}, l.CountWaiting()); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if d := decideService(l, service(), nil); d.Refusal != nil || len(l.CountWaiting()) != 0 {
		t.Errorf("corrected: got %+v and pending %v, want neither", d.Refusal, l.CountWaiting())
	}
}

func TestLabelsOfServiceAndNamespaceDecideWhichPoolIsForIt(t *testing.T) {
	pools := pools3()
	pools[0].Selection = &ipam.Selection{NamespaceSelectors: []ipam.Matcher{wants{"team", "a"}}, ServiceSelectors: []ipam.Matcher{wants{"app", "web"}}}
	svc := service()
	svc.Labels = map[string]string{"app": "web"}
	tests := []struct {
		name string
		of   map[string]string
		want ipam.Reason
	}{
		{name: "of a namespace that the pool is for", of: map[string]string{"team": "a"}},
		{name: "of another", of: map[string]string{"team": "b"}, want: ipam.ReasonPoolNotAllowed},
		{name: "of one that is not known yet", want: ipam.ReasonPoolNotAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := allocations.New()
			l.Load(pools[:1], nil)
			d := decideService(l, svc, tt.of)
			var got ipam.Reason
			if d.Refusal != nil {
				got = d.Refusal.Reason
			}
			if got != tt.want {
				t.Errorf("refusal: got %q, want %q", got, tt.want)
			}
		})
	}
}

// wants is a label that a pool wants.
type wants struct{ key, value string }

func (w wants) Matches(labels map[string]string) bool { return labels[w.key] == w.value }

func TestAddressThatAServiceShowsWithoutHoldingIt(t *testing.T) {
	const prefer = corev1.IPFamilyPolicyPreferDualStack
	type list = []ipam.Holding
	inUse, reserved := holding("10.0.0.0", "auto", other), holding("2001:db8::3", "six", lb.ServiceKey{})
	tests := []struct {
		name  string
		svc   *corev1.Service
		held  list
		keep  list
		want  []string // addresses in the status afterwards
		taken []string
	}{
		{name: "what a pool has, and nobody holds, becomes its own", svc: shows(service(), "10.0.0.3"), keep: list{holding("10.0.0.3", "auto", web)}, want: []string{"10.0.0.3"}},
		{name: "even from a pool that must be named", svc: shows(service(), "10.0.1.3"), keep: list{holding("10.0.1.3", "manual", web)}, want: []string{"10.0.1.3"}},
		{name: "even if its request cannot be met", svc: shows(service(poolKey, "nope"), "10.0.0.3"), keep: list{holding("10.0.0.3", "auto", web)}, want: []string{"10.0.0.3"}},
		{name: "even if its request is invalid", svc: shows(service(addressKey, "x"), "10.0.0.3"), keep: list{holding("10.0.0.3", "auto", web)}, want: []string{"10.0.0.3"}},
		{name: "of both families", svc: shows(dualStack(prefer), "10.0.0.3", "2001:db8::2"), keep: list{holding("10.0.0.3", "auto", web), holding("2001:db8::2", "six", web)}, want: []string{"10.0.0.3", "2001:db8::2"}},
		{name: "of a family of which it holds nothing", svc: shows(dualStack(prefer), "10.0.0.3", "2001:db8::2"), held: list{holding("10.0.0.2", "auto", web)},
			keep: list{holding("10.0.0.2", "auto", web), holding("2001:db8::2", "six", web)}, want: []string{"10.0.0.2", "2001:db8::2"}},
		{name: "not of a family of which it holds something", svc: shows(service(), "10.0.0.3"), held: list{holding("10.0.0.2", "auto", web)}, keep: list{holding("10.0.0.2", "auto", web)}, want: []string{"10.0.0.2"}},
		{name: "an address in no pool stays while there is nothing to put in its place", svc: shows(service(poolKey, "nope"), "192.0.2.7"), want: []string{"192.0.2.7"}},
		{name: "and while its request is invalid", svc: shows(service(addressKey, "x"), "192.0.2.7"), want: []string{"192.0.2.7"}},
		{name: "and is replaced when there is", svc: shows(service(), "192.0.2.7"), keep: list{holding("10.0.0.1", "auto", web)}, want: []string{"10.0.0.1"}},
		{name: "an address that is another Service's does not stay", svc: shows(service(poolKey, "nope"), "10.0.0.0", "192.0.2.7"), want: []string{"192.0.2.7"},
			taken: []string{"lbstack removed 10.0.0.0 from the status of the Service, since the address belongs to the Service default/other"}},
		{name: "an address that is reserved does not stay", svc: shows(service(poolKey, "nope"), "2001:db8::3"),
			taken: []string{"lbstack removed 2001:db8::3 from the status of the Service, since an IPAddressClaim reserves the address"}},
		{name: "each loss is reported", svc: shows(service(), "10.0.0.0", "2001:db8::3"), keep: list{holding("10.0.0.1", "auto", web)}, want: []string{"10.0.0.1"},
			taken: []string{"lbstack removed 10.0.0.0 from the status of the Service, since the address belongs to the Service default/other", "lbstack removed 2001:db8::3 from the status of the Service, since an IPAddressClaim reserves the address"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decideService(filled(t, append(tt.held, inUse, reserved)...), tt.svc, nil)
			if diff := cmp.Diff(tt.keep, d.Keep, byAddr); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.taken, d.taken); diff != "" {
				t.Errorf("taken from it (-want +got):\n%s", diff)
			}
			var got []string
			for _, in := range desiredService(tt.svc, d).Status.LoadBalancer.Ingress {
				got = append(got, in.IP)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		})
	}
}

// What is invalid in a request does not hide on which terms the Service shares:
// otherwise the Service could use a port of another Service.
func TestTermsOfAServiceCountAlthoughItsRequestIsInvalid(t *testing.T) {
	terms := lb.Sharing{Key: "k", Ports: []lb.Port{{Protocol: "TCP", Number: 80}}}
	l := allocations.New()
	tls := lb.Sharing{Key: "k", Ports: []lb.Port{{Protocol: "TCP", Number: 443}}}
	l.Load(pools3(), []allocations.ClaimContent{{Address: addr("10.0.0.1"), Pool: "auto", Holders: []allocations.Holder{{Service: web, Terms: terms}, {Service: other, Terms: tls}}}})
	svc := shows(service(addressKey, "x", v1beta1.AnnotationAllowSharedIP, "k"), "10.0.0.1")
	svc.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	if d := decideService(l, svc, nil); len(d.Keep) != 1 || len(d.Lost) != 0 {
		t.Errorf("with its own port: keeps %v and loses %v, want it to keep the address", d.Keep, d.Lost)
	}
	if diff := cmp.Diff(terms, l.SharingTerms(addr("10.0.0.1"), web)); diff != "" {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
	svc.Spec.Ports[0].Port = 443
	if d := decideService(l, svc, nil); len(d.Keep) != 0 || len(d.Lost) != 1 {
		t.Errorf("with the other's port: keeps %v and loses %v, want it to lose the address", d.Keep, d.Lost)
	}
}
