package pool

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestPlan(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	object := func(name string, age int, addresses ...v1beta1.AddressRange) v1beta1.IPAddressPool {
		return v1beta1.IPAddressPool{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(start.Add(-time.Duration(age) * time.Hour))},
			Spec:       v1beta1.IPAddressPoolSpec{Addresses: addresses},
		}
	}
	tests := []struct {
		name    string
		objects []v1beta1.IPAddressPool
		want    map[lb.PoolName]string
	}{
		{name: "pools apart are ready", objects: []v1beta1.IPAddressPool{object("a", 2, "10.0.0.0/24"), object("b", 1, "10.0.1.0/24")},
			want: map[lb.PoolName]string{"a": v1beta1.ReasonPoolReady, "b": v1beta1.ReasonPoolReady}},
		{name: "of two that overlap the older one goes on", objects: []v1beta1.IPAddressPool{object("a", 1, "10.0.0.0/24"), object("b", 2, "10.0.0.9")},
			want: map[lb.PoolName]string{"a": v1beta1.ReasonOverlap, "b": v1beta1.ReasonPoolReady}},
		{name: "of two of the same age the name decides", objects: []v1beta1.IPAddressPool{object("b", 1, "10.0.0.0/24"), object("a", 1, "10.0.0.9")},
			want: map[lb.PoolName]string{"a": v1beta1.ReasonPoolReady, "b": v1beta1.ReasonOverlap}},
		{name: "a range that runs backwards is told and disturbs nobody", objects: []v1beta1.IPAddressPool{object("a", 2, "10.0.0.9-10.0.0.1"), object("b", 1, "10.0.0.0/24")},
			want: map[lb.PoolName]string{"a": v1beta1.ReasonInvalidAddresses, "b": v1beta1.ReasonPoolReady}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pools, verdicts := Plan(tt.objects)
			got := map[lb.PoolName]string{}
			for name, v := range verdicts {
				got[name] = v.Reason
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			for _, p := range pools {
				if usable := p.Unusable == ""; usable != verdicts[p.Name].Ready() {
					t.Errorf("pool %s: usable %v but verdict %+v", p.Name, usable, verdicts[p.Name])
				}
			}
		})
	}
}
