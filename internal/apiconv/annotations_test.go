package apiconv

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUnknownAnnotations(t *testing.T) {
	tests := []struct {
		name string
		keys []string
		want []UnknownAnnotation
	}{
		{name: "known ones of all prefixes", keys: []string{
			"lbstack.io/address-pool", "lbstack.io/load-balancer-ips", "lbstack.io/allow-shared-ip", "lbstack.io/ip-allocated-from-pool",
			"metallb.io/address-pool", "metallb.io/loadBalancerIPs", "metallb.io/allow-shared-ip", "metallb.io/ip-allocated-from-pool",
			"metallb.universe.tf/address-pool", "metallb.universe.tf/loadBalancerIPs", "metallb.universe.tf/allow-shared-ip", "metallb.universe.tf/ip-allocated-from-pool",
		}},
		{name: "those of others", keys: []string{"example.com/address-pool", "lbstack.io.example.com/address-pool", "lbstack"}},
		{name: "MetalLB's name under lbstack's prefix", keys: []string{"lbstack.io/loadBalancerIPs"}, want: []UnknownAnnotation{{"lbstack.io/loadBalancerIPs", "lbstack.io/load-balancer-ips"}}},
		{name: "lbstack's name under MetalLB's prefix", keys: []string{"metallb.io/load-balancer-ips"}, want: []UnknownAnnotation{{"metallb.io/load-balancer-ips", "lbstack.io/load-balancer-ips"}}},
		{name: "slips, by key", keys: []string{"metallb.universe.tf/adress_pool", "lbstack.io/allow-shared-ips", "lbstack.io/pool"}, want: []UnknownAnnotation{
			{"lbstack.io/allow-shared-ips", "lbstack.io/allow-shared-ip"}, {"lbstack.io/pool", "lbstack.io/address-pool"}, {"metallb.universe.tf/adress_pool", "lbstack.io/address-pool"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			svc := &corev1.Service{}
			for _, key := range tt.keys {
				metav1.SetMetaDataAnnotation(&svc.ObjectMeta, key, "x")
			}
			if diff := cmp.Diff(tt.want, UnknownAnnotations(svc)); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}
