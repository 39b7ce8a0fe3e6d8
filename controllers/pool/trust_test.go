package pool

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestPicture_HasOnlyFieldsThatCount(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	pools := []v1beta1.IPAddressPool{object("p", 1, "10.0.0.1-10.0.0.9")}
	node := func(name, rack string) client.Object {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rack": rack}}}
	}
	advertised := func(pool string) client.Object {
		return &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "ad"}, Spec: v1beta1.L2AdvertisementSpec{
			IPAddressPools: []v1beta1.ObjectName{v1beta1.ObjectName(pool)}, NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}}}}
	}
	claimed := func(pool string) client.Object {
		return &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "10.0.0.1"}, Spec: v1beta1.IPAddressClaimSpec{Address: "10.0.0.1", Pool: v1beta1.ObjectName(pool)}}
	}
	conflictReport := func(name string) client.Object {
		return &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1beta1.SpeakerStateStatus{
			Conflicts: []v1beta1.SpeakerConflict{{Address: "10.0.0.1", Interface: "eth0", HardwareAddress: mac, Since: metav1.NewTime(start)}}}}
	}
	owns := func(name string) client.Object {
		return &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1beta1.SpeakerStateStatus{
			Addresses: []v1beta1.SpeakerAddress{{Address: "10.0.0.1", Since: metav1.NewTime(start), Epoch: 1}}}}
	}
	before := map[netip.Addr]foreignHost{one: host()}
	n1 := []lb.NodeName{"n1"}
	tests := []struct {
		name          string
		there         []client.Object
		known         map[netip.Addr]foreignHost
		hosts, owners []lb.NodeName // that reported
	}{
		{name: "conflict of a candidate", there: []client.Object{node("n1", "1"), advertised("p"), claimed("p"), conflictReport("n1")}, hosts: n1},
		{name: "conflict of a node that does not exist", there: []client.Object{advertised("p"), claimed("p"), conflictReport("n1")}},
		{name: "conflict of a node that no advertisement selects", there: []client.Object{node("n1", "2"), advertised("p"), claimed("p"), conflictReport("n1")}},
		{name: "conflict on an address of a pool that no advertisement is about", there: []client.Object{node("n1", "1"), advertised("other"), claimed("p"), conflictReport("n1")}},
		{name: "conflict on an address whose claim is from a pool that is gone", there: []client.Object{node("n1", "1"), advertised("gone"), claimed("gone"), conflictReport("n1")}, hosts: n1},
		{name: "conflict on an address that nobody has claimed", there: []client.Object{node("n1", "1"), advertised("p"), conflictReport("n1")}},
		{name: "ownership of an address that was a foreign host's and is claimed no more", there: []client.Object{node("n1", "1"), advertised("p"), owns("n1")}, known: before, owners: n1},
		{name: "ownership by a node that no advertisement selects", there: []client.Object{node("n1", "2"), advertised("p"), claimed("p"), owns("n1")}, known: before},
		{name: "ownership of an address that no foreign host uses is not looked at", there: []client.Object{node("n1", "1"), advertised("p"), claimed("p"), owns("n1")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(tt.there...).Build()
			got, err := readForeignReports(t.Context(), reader, pools, tt.known, start.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			var hosts, owners []lb.NodeName
			for _, h := range slices.Collect(maps.Values(got.Hosts)) {
				hosts = append(hosts, h.Node)
			}
			for _, o := range slices.Collect(maps.Values(got.Owners)) {
				owners = append(owners, o.Node)
			}
			if diff := cmp.Diff(tt.hosts, hosts); diff != "" {
				t.Errorf("nodes whose conflicts count (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.owners, owners); diff != "" {
				t.Errorf("nodes whose ownership counts (-want +got):\n%s", diff)
			}
		})
	}
}
