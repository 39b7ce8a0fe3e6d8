package service

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
)

// decision is what should be true of a Service.
type decision struct {
	// keep are the addresses that the Service has from now on.
	keep []ipam.Holding
	// drop are the addresses that it lets go, once it has the others.
	drop []ipam.Holding
	// leave are addresses in the Service's status that it does not hold and that
	// are nobody else's either: without anything to put in their place they are
	// not for lbstack to remove.
	leave []netip.Addr
	// refusal is why it does not have what it asks for; nil if it does.
	refusal *ipam.Refusal
}

// decide meets the request of a Service, or says why not. What the Service has
// is never dropped for a request that cannot be met; a Service that holds nothing
// gets what its status shows, if that can be given.
func decide(l *ledger.Ledger, svc *corev1.Service) decision {
	key := apiconv.KeyOf(svc)
	if len(l.HeldBy(key)) == 0 {
		for _, address := range apiconv.StatusAddresses(svc) {
			if l.Adopt(address, key) {
				break
			}
		}
	}
	req, refusal := request(svc)
	if refusal != nil {
		return refused(l, svc, l.HeldBy(key), refusal)
	}
	now, before, refusal := l.Assign(req)
	if refusal != nil {
		return refused(l, svc, before, refusal)
	}
	d := decision{keep: []ipam.Holding{now}}
	for _, h := range before {
		if h.Address != now.Address {
			d.drop = append(d.drop, h)
		}
	}
	return d
}

func refused(l *ledger.Ledger, svc *corev1.Service, keep []ipam.Holding, refusal *ipam.Refusal) decision {
	d := decision{keep: keep, refusal: refusal}
	if len(keep) > 0 {
		return d
	}
	for _, address := range apiconv.StatusAddresses(svc) {
		if _, held := l.Holder(address); !held {
			d.leave = append(d.leave, address)
		}
	}
	return d
}

func request(svc *corev1.Service) (ipam.Request, *ipam.Refusal) {
	parsed, err := apiconv.ParseServiceRequest(svc)
	if err != nil {
		return ipam.Request{}, &ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: err.Error()}
	}
	req := ipam.Request{Service: apiconv.KeyOf(svc), Pool: parsed.Pool, Families: parsed.Families}
	switch {
	case parsed.RequireDualStack:
		return req, &ipam.Refusal{Reason: v1beta1.ReasonUnsupported, Message: "spec.ipFamilyPolicy is RequireDualStack and this version gives one address to a Service: use PreferDualStack or SingleStack"}
	case len(parsed.Addresses) > 1:
		return req, &ipam.Refusal{Reason: v1beta1.ReasonUnsupported, Message: fmt.Sprintf("the Service asks for %d addresses and this version gives one to a Service: ask for one", len(parsed.Addresses))}
	case len(parsed.Addresses) == 1:
		req.Address = parsed.Addresses[0]
	}
	return req, nil
}
