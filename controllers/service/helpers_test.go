package service

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

var (
	web    = lb.ServiceKey{Namespace: "default", Name: "web"}
	other  = lb.ServiceKey{Namespace: "default", Name: "other"}
	byAddr = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func holding(address string, pool lb.PoolName, service lb.ServiceKey) ipam.Holding {
	return ipam.Holding{Address: addr(address), Pool: pool, Service: service}
}

// pools3 are auto (10.0.0.0/30), which gives addresses to all Services, manual (10.0.1.0/30),
// which a Service has to name, and six (2001:db8::/126), which gives addresses to all Services.
func pools3() []ipam.Pool {
	pools := []ipam.Pool{
		{Name: "auto", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/30"))}},
		{Name: "manual", Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.1.0/30"))}},
		{Name: "six", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("2001:db8::/126"))}},
	}
	ipam.Resolve(pools, nil)
	return pools
}

// recorded returns the claim of a holding. A claim without a Service reserves the address.
func recorded(h ipam.Holding) allocations.ClaimContent {
	c := allocations.ClaimContent{Address: h.Address, Pool: h.Pool}
	if h.Service != (lb.ServiceKey{}) {
		c.Holders = []allocations.Holder{{Service: h.Service}}
	}
	return c
}

// filled returns a view with these pools.
func filled(t *testing.T, held ...ipam.Holding) *allocations.View {
	t.Helper()
	var claims []allocations.ClaimContent
	for _, h := range held {
		claims = append(claims, recorded(h))
	}
	l := allocations.New()
	l.Load(pools3(), claims)
	return l
}

// has returns the addresses that a Service has taken up.
func has(l *allocations.View, service lb.ServiceKey) []ipam.Holding {
	held, _ := l.HeldBy(service)
	return held
}

// service returns the Service default/web with annotations, given as key, value.
func service(annotations ...string) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: web.Name, UID: "uid-web", Generation: 5},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}},
	}
	for i := 0; i < len(annotations); i += 2 {
		metav1.SetMetaDataAnnotation(&svc.ObjectMeta, annotations[i], annotations[i+1])
	}
	return svc
}

func dualStack(policy corev1.IPFamilyPolicy, annotations ...string) *corev1.Service {
	svc := service(annotations...)
	svc.Spec.IPFamilyPolicy = &policy
	svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	return svc
}

// given returns the status entry of an address as lbstack writes it.
func given(address string) corev1.LoadBalancerIngress {
	mode := corev1.LoadBalancerIPModeVIP
	return corev1.LoadBalancerIngress{IP: address, IPMode: &mode}
}

func showing(svc *corev1.Service, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
	svc.Status.LoadBalancer.Ingress = ingress
	return svc
}

// shows returns the Service with addresses in its status, as others write them.
func shows(svc *corev1.Service, addresses ...string) *corev1.Service {
	for _, a := range addresses {
		svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
	}
	return svc
}

// kept returns a decision by which a Service has these addresses.
func kept(holdings ...ipam.Holding) serviceDecision {
	return serviceDecision{Outcome: allocations.Outcome{Decision: ipam.Decision{Keep: holdings}}}
}

// refused returns a decision with a refusal, by which the Service has these addresses.
func refused(refusal *ipam.Refusal, holdings ...ipam.Holding) serviceDecision {
	d := kept(holdings...)
	d.Refusal = refusal
	return d
}

// claim returns the claim of an administrator.
func claim(name, address string, holders ...lb.ServiceKey) *v1beta1.IPAddressClaim {
	c := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: "auto"}}
	for _, h := range holders {
		c.Spec.Holders = append(c.Spec.Holders, v1beta1.ClaimHolder{Namespace: h.Namespace, Name: h.Name})
	}
	return c
}

// taken returns the claim as one of the controller for these Services.
func taken(c *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
	c.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController}
	c.Spec.State = v1beta1.ClaimInUse
	c.Spec.Holders = slices.Clone(c.Spec.Holders)
	for i := range c.Spec.Holders {
		c.Spec.Holders[i].UID = "uid"
	}
	return c
}

func addrs(list ...string) (addresses []netip.Addr) {
	for _, s := range list {
		addresses = append(addresses, addr(s))
	}
	return addresses
}

func metaNow() metav1.Time { return metav1.NewTime(start) }

// start is the time of these tests.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
