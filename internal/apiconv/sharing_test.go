package apiconv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// sharing returns the Service n/s, which shares under a key; ports as 80/TCP or 80.
func sharing(key string, policy corev1.ServiceExternalTrafficPolicy, selector map[string]string, ports ...string) *corev1.Service {
	svc := annotated("lbstack.io/allow-shared-ip", key)
	svc.Spec.ExternalTrafficPolicy, svc.Spec.Selector = policy, selector
	for _, p := range ports {
		number, protocol, _ := strings.Cut(p, "/")
		n, _ := strconv.Atoi(number)
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Port: int32(n), Protocol: corev1.Protocol(protocol)})
	}
	return svc
}

const (
	local   = corev1.ServiceExternalTrafficPolicyLocal
	cluster = corev1.ServiceExternalTrafficPolicyCluster
)

func TestSharingTerms(t *testing.T) {
	port := func(n uint16, p lb.Protocol) lb.Port { return lb.Port{Number: n, Protocol: p} }
	alone := sharing("", local, map[string]string{"app": "web"}, "80/TCP")
	tests := []struct {
		name string
		svc  *corev1.Service
		want lb.Sharing
	}{
		{name: "without a key a Service shares with nobody", svc: alone},
		{name: "our annotation", svc: annotated("lbstack.io/allow-shared-ip", "k"), want: lb.Sharing{Key: "k"}},
		{name: "MetalLB's annotation", svc: annotated("metallb.io/allow-shared-ip", "k"), want: lb.Sharing{Key: "k"}},
		{name: "MetalLB's old annotation", svc: annotated("metallb.universe.tf/allow-shared-ip", "k"), want: lb.Sharing{Key: "k"}},
		{name: "ours goes before MetalLB's", svc: annotated("metallb.universe.tf/allow-shared-ip", "old", "metallb.io/allow-shared-ip", "theirs", "lbstack.io/allow-shared-ip", "ours"), want: lb.Sharing{Key: "ours"}},
		{name: "MetalLB's goes before the old one", svc: annotated("metallb.universe.tf/allow-shared-ip", "old", "metallb.io/allow-shared-ip", "theirs"), want: lb.Sharing{Key: "theirs"}},
		{name: "a key is taken as it is", svc: annotated("lbstack.io/allow-shared-ip", " K "), want: lb.Sharing{Key: " K "}},
		{name: "ports are sorted by number and protocol", svc: sharing("k", cluster, nil, "443/TCP", "53/UDP", "53/TCP", "9/SCTP"),
			want: lb.Sharing{Key: "k", Ports: []lb.Port{port(9, "SCTP"), port(53, "TCP"), port(53, "UDP"), port(443, "TCP")}}},
		{name: "a port without protocol is TCP, and each counts once", svc: sharing("k", cluster, nil, "80", "81/UDP", "80/TCP"),
			want: lb.Sharing{Key: "k", Ports: []lb.Port{port(80, "TCP"), port(81, "UDP")}}},
		{name: "the largest port", svc: sharing("k", cluster, nil, "65535/TCP"), want: lb.Sharing{Key: "k", Ports: []lb.Port{port(65535, "TCP")}}},
		{name: "Cluster is served by all nodes, whatever the selector", svc: sharing("k", cluster, map[string]string{"app": "web"}), want: lb.Sharing{Key: "k"}},
		{name: "no policy is Cluster", svc: sharing("k", "", map[string]string{"app": "web"}), want: lb.Sharing{Key: "k"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SharingTerms(tt.svc)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("terms (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrafficIsTheSameOnlyWhereTheSameNodesServe(t *testing.T) {
	type set = map[string]string
	named := func(svc *corev1.Service, namespace, name string) *corev1.Service {
		svc.Namespace, svc.Name = namespace, name
		return svc
	}
	long := set{}
	for i := range 64 {
		long[fmt.Sprintf("label-%d", i)] = strings.Repeat("v", 63)
	}
	longer := set{"one": "more"}
	for k, v := range long {
		longer[k] = v
	}
	web := sharing("k", local, set{"app": "web", "tier": "front"})
	tests := []struct {
		name string
		x, y *corev1.Service
		same bool
	}{
		{name: "Cluster and Cluster", x: sharing("k", cluster, set{"app": "web"}), y: named(sharing("k", cluster, set{"app": "api"}), "n", "t"), same: true},
		{name: "Cluster and Local", x: sharing("k", cluster, set{"app": "web"}), y: sharing("k", local, set{"app": "web"})},
		{name: "Local with one selector", x: web, y: named(sharing("k", local, set{"tier": "front", "app": "web"}), "n", "t"), same: true},
		{name: "Local with another value", x: web, y: sharing("k", local, set{"app": "web", "tier": "back"})},
		{name: "Local with one label more", x: web, y: sharing("k", local, set{"app": "web"})},
		{name: "Local with one selector in another namespace, where it selects other pods", x: web, y: named(sharing("k", local, set{"tier": "front", "app": "web"}), "m", "s")},
		{name: "Local without selector, and another Service like it", x: sharing("k", local, nil), y: named(sharing("k", local, nil), "n", "t")},
		{name: "Local without selector, and one of that name elsewhere", x: sharing("k", local, nil), y: named(sharing("k", local, nil), "m", "s")},
		{name: "Local without selector and Cluster", x: sharing("k", local, nil), y: sharing("k", cluster, nil)},
		{name: "Local without selector and Local with one", x: sharing("k", local, nil), y: web},
		{name: "Local without selector and itself", x: sharing("k", local, nil), y: sharing("k", local, set{}), same: true},
		{name: "Local with one selector that is too long to write down", x: sharing("k", local, long), y: named(sharing("k", local, long), "n", "t"), same: true},
		{name: "Local with two selectors that are too long to write down", x: sharing("k", local, long), y: sharing("k", local, longer)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, err := SharingTerms(tt.x)
			if err != nil {
				t.Fatal(err)
			}
			y, err := SharingTerms(tt.y)
			if err != nil {
				t.Fatal(err)
			}
			if got := x.Traffic == y.Traffic; got != tt.same {
				t.Errorf("%q and %q are the same: got %v, want %v", x.Traffic, y.Traffic, got, tt.same)
			}
			if len(x.Traffic) > maxTrafficBytes || len(y.Traffic) > maxTrafficBytes {
				t.Errorf("got %d and %d bytes, want %d at most: a claim holds no more", len(x.Traffic), len(y.Traffic), maxTrafficBytes)
			}
		})
	}
}

func TestTermsThatNoClaimCanHoldAreRefused(t *testing.T) {
	ports := func(n int) []string {
		list := make([]string, 0, n)
		for i := range n {
			list = append(list, strconv.Itoa(i+1)+"/UDP")
		}
		return list
	}
	tests := []struct {
		name string
		svc  *corev1.Service
		want string
	}{
		{name: "a key that is too long", svc: annotated("metallb.io/allow-shared-ip", strings.Repeat("k", maxSharingKeyBytes+1)),
			want: "annotation metallb.io/allow-shared-ip: the key has 1025 bytes, but at most 1024 bytes are allowed: use a shorter key"},
		{name: "too many ports", svc: sharing("k", cluster, nil, ports(maxPorts+1)...),
			want: "annotation lbstack.io/allow-shared-ip: a Service that shares its address can have at most 1024 ports, and this Service has 1025: split the Service"},
		{name: "the longest key", svc: annotated("lbstack.io/allow-shared-ip", strings.Repeat("k", maxSharingKeyBytes))},
		{name: "the most ports, some of them twice", svc: sharing("k", cluster, nil, append(ports(maxPorts), "1/UDP", "2/UDP")...)},
		{name: "too many ports of a Service that shares with nobody", svc: sharing("", cluster, nil, ports(maxPorts+1)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SharingTerms(tt.svc)
			var fail string
			if err != nil {
				fail = err.Error()
			}
			if fail != tt.want {
				t.Errorf("error: got %q, want %q", fail, tt.want)
			}
			if diff := cmp.Diff(lb.Sharing{}, got); err != nil && diff != "" {
				t.Errorf("terms besides the error (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzSharingTerms checks what a claim must be able to hold, and that a restart
// reads the same terms from it.
func FuzzSharingTerms(f *testing.F) {
	f.Add("k", true, "app", "web", uint16(80), uint16(443), false)
	f.Add("k", false, "", "", uint16(0), uint16(0), true)
	f.Add("", true, "a", "b=c,d", uint16(1), uint16(1), true)
	f.Fuzz(func(t *testing.T, key string, isLocal bool, label, value string, first, second uint16, udp bool) {
		svc := sharing(key, cluster, nil, fmt.Sprint(first), fmt.Sprint(second))
		if isLocal {
			svc.Spec.ExternalTrafficPolicy = local
		}
		if label != "" {
			svc.Spec.Selector = map[string]string{label: value}
		}
		if udp {
			svc.Spec.Ports[1].Protocol = corev1.ProtocolUDP
		}
		terms, err := SharingTerms(svc)
		switch {
		case err != nil:
			if len(key) <= maxSharingKeyBytes {
				t.Errorf("got %v, but only the key can be wrong", err)
			}
			return
		case key == "":
			if diff := cmp.Diff(lb.Sharing{}, terms); diff != "" {
				t.Errorf("terms of a Service without key (-want +got):\n%s", diff)
			}
			return
		}
		if terms.Key != key || len(terms.Traffic) > maxTrafficBytes || isLocal != (terms.Traffic != "") {
			t.Errorf("got %+v of the key %q, Local %v", terms, key, isLocal)
		}
		if !slices.IsSortedFunc(terms.Ports, lb.Port.Compare) {
			t.Errorf("got the ports %v, want them sorted", terms.Ports)
		}
		slices.Reverse(svc.Spec.Ports)
		again, err := SharingTerms(svc)
		if diff := cmp.Diff(terms, again); err != nil || diff != "" {
			t.Errorf("with the ports in another order (-first +second), %v:\n%s", err, diff)
		}
		claim := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{SharingKey: terms.Key}}
		back, err := HolderTerms(claim, ClaimHolderOf(svc, terms))
		if diff := cmp.Diff(terms, back); err != nil || diff != "" {
			t.Errorf("read from the claim (-want +got), %v:\n%s", err, diff)
		}
	})
}
