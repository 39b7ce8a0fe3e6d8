package inspect

import (
	"cmp"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// plannedBed is several() as a stack that has all of it makes it: with two peers, one of which every node has.
func plannedBed() *Snapshot {
	s := several()
	s.States[1].Status.Conflicts, s.States[0].Status.Addresses = nil, nil
	spec := &s.Stack.Spec
	for _, p := range s.Pools {
		spec.IPAddressPools = append(spec.IPAddressPools, v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(p.Name), IPAddressPoolSpec: p.Spec})
	}
	spec.L2Advertisements = []v1beta1.StackL2Advertisement{{Name: "all"}}
	spec.BGPPeers = []v1beta1.StackBGPPeer{
		{Name: "tor-1", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.254"}},
		{Name: "tor-2", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.253", NodeSelectors: selects("node-1")}},
	}
	for _, p := range spec.BGPPeers {
		s.Peers = append(s.Peers, v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: string(p.Name)}, Spec: p.BGPPeerSpec})
	}
	spec.BGPAdvertisements = []v1beta1.StackBGPAdvertisement{{Name: "routed"}}
	s.BGPAdvertisements = []v1beta1.BGPAdvertisement{{ObjectMeta: metav1.ObjectMeta{Name: "routed"}}}
	s.ServiceCIDRs = []networkingv1.ServiceCIDR{{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16", "fd96::/112"}}}}
	return s
}

// withCommunity is plannedBed() with an advertisement that names an alias of a Community of the stack.
func withCommunity() *Snapshot {
	s := plannedBed()
	defines := v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "silver", Value: "64512:1"}, {Name: "wide", Value: "large:64512:1:2"}}}
	s.Communities = []v1beta1.Community{{ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Spec: defines}}
	s.Stack.Spec.Communities = []v1beta1.StackCommunity{{Name: "ours", CommunitySpec: defines}}
	names := []v1beta1.CommunityReference{"silver", "wide", "no-export"}
	s.BGPAdvertisements[0].Spec.Communities, s.Stack.Spec.BGPAdvertisements[0].Communities = names, names
	return s
}

// selects nodes by name.
func selects(names ...string) []metav1.LabelSelector {
	return []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: "In", Values: names}}}}
}

func TestPlan_Golden(t *testing.T) {
	tests := map[string]func(*v1beta1.LoadBalancerStackSpec){
		"nothing": func(*v1beta1.LoadBalancerStackSpec) {},
		"evicted": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.0.2.5-192.0.2.9"}
			spec.IPAddressPools[0].OutsidePoolPolicy = v1beta1.EvictOutsidePool
		},
		"kept-outside": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.0.2.5-192.0.2.9"}
		},
		"no-advertisement": func(spec *v1beta1.LoadBalancerStackSpec) { spec.L2Advertisements, spec.BGPAdvertisements = nil, nil },
		"owner-excluded": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.L2Advertisements[0].NodeSelectors = selects("node-1", "node-3")
		},
		"fewer-routers": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPPeers = spec.BGPPeers[1:]
			hold := int32(9)
			spec.BGPPeers[0].HoldTimeSeconds = &hold
		},
		"sessions-move": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPPeers[1].NodeSelectors = selects("node-2")
			spec.BGPPeers[0].PasswordSecret = &v1beta1.PasswordSecret{Name: "secret"}
			spec.BGPPeers = append(spec.BGPPeers, v1beta1.StackBGPPeer{Name: "tor-3", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64514, PeerAddress: "192.0.2.252"}})
		},
		"items": func(spec *v1beta1.LoadBalancerStackSpec) {
			off := false
			spec.IPAddressPools[0].AutoAssign, spec.IPAddressPools[0].Labels = &off, map[string]string{"a": "b"}
			spec.L2Advertisements[0].Interfaces = []v1beta1.InterfaceName{"eth9"}
			spec.BGPPeers[0].BFDProfile = "fast"
			spec.BGPAdvertisements[0].Peers = []v1beta1.ObjectName{"tor-1"}
			spec.Communities = []v1beta1.StackCommunity{{Name: "ours"}}
		},
		"invalid-pool": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.0.2.9-192.0.2.1"}
		},
		"invalid": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.IPAddressPools[1].Addresses = []v1beta1.AddressRange{"192.0.2.1-192.0.2.3"}
			spec.L2Advertisements[0].IPAddressPools = []v1beta1.ObjectName{"none"}
			spec.BGPPeers[0].BFDProfile = "fast"
			spec.BGPPeers[1].NodeSelectors = selects("none")
			spec.BFDProfiles = []v1beta1.StackBFDProfile{{Name: "fast", BFDProfileSpec: v1beta1.BFDProfileSpec{DetectMultiplier: 1}}}
			spec.BGPAdvertisements[0].Communities = []v1beta1.CommunityReference{"gold"}
			spec.Communities = []v1beta1.StackCommunity{{Name: "ours", CommunitySpec: v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "silver", Value: "1"}}}}}
		},
		"service-network": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.IPAddressPools[0].Addresses = append(spec.IPAddressPools[0].Addresses, "10.96.255.250-10.97.0.5")
		},
		"pool-removed": func(spec *v1beta1.LoadBalancerStackSpec) { spec.IPAddressPools = spec.IPAddressPools[1:] },
		"unmanaged": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.ManagementState, spec.L2Advertisements, spec.BGPAdvertisements = v1beta1.StackUnmanaged, nil, nil
		},
		"docs": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.IPAddressPools[0].Addresses, spec.IPAddressPools[0].OutsidePoolPolicy = []v1beta1.AddressRange{"192.0.2.5-192.0.2.9"}, v1beta1.EvictOutsidePool
			spec.IPAddressPools[1].Addresses = []v1beta1.AddressRange{"2001:db8::9-2001:db8::1"}
			spec.BGPPeers[0].HoldTimeSeconds = new(int32(9))
			spec.Speaker.LogLevel = v1beta1.LogLevelDebug
		},
		"route-attributes": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPAdvertisements[0].LocalPref, spec.BGPAdvertisements[0].ASPathPrepend = new(int64(200)), 2
			spec.BGPAdvertisements[0].Communities = []v1beta1.CommunityReference{"64512:1"}
		},
		"route-peers": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPAdvertisements[0].Peers = []v1beta1.ObjectName{"tor-1"}
		},
		"route-prefix": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPAdvertisements[0].AggregationLength = 31
			spec.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.0.2.0-192.0.2.9"}
		},
		"route-router-without-nodes": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPAdvertisements[0].Peers = []v1beta1.ObjectName{"tor-2"}
			spec.L2Advertisements = nil
		},
		"route-invalid-stays": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.BGPAdvertisements[0].LocalPref, spec.BGPAdvertisements[0].Communities = new(int64(200)), []v1beta1.CommunityReference{"gold"}
		},
		"route-community-removed": func(spec *v1beta1.LoadBalancerStackSpec) { spec.Communities = nil },
		"components": func(spec *v1beta1.LoadBalancerStackSpec) {
			spec.Speaker.LogLevel, spec.Layer2.Failback = v1beta1.LogLevelDebug, v1beta1.FailbackGradual
		},
	}
	beds := map[string]*Snapshot{"route-community-removed": withCommunity()} // by test, if it is not plannedBed()
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := cmp.Or(beds[name], plannedBed())
			to := s.Stack.DeepCopy()
			change(&to.Spec)
			changes, err := Plan(s, to)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := changes.Print(&text); err != nil {
				t.Fatal(err)
			}
			golden(t, "plan-"+name+".txt", text.String())
			if want := name == "nothing"; changes.None() != want {
				t.Errorf("nothing changes: %v, want %v", changes.None(), want)
			}
		})
	}
}

func TestPlan_RefusedInput(t *testing.T) {
	for _, tt := range []struct {
		name, err string
		change    func(*Snapshot, *v1beta1.LoadBalancerStack)
	}{
		{"an item whose object is somebody else's", "IPAddressPool other exists and does not belong to the stack", func(s *Snapshot, to *v1beta1.LoadBalancerStack) {
			s.Pools = append(s.Pools, v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
			to.Spec.IPAddressPools = append(to.Spec.IPAddressPools, v1beta1.StackIPAddressPool{Name: "other"})
		}},
		{"a patch that matches nothing", "spec.patches[0].target: lbstack makes no Deployment none", func(_ *Snapshot, to *v1beta1.LoadBalancerStack) {
			to.Spec.Patches = []v1beta1.Patch{{Target: v1beta1.PatchTarget{Kind: "Deployment", Name: "none"}, Patch: "{}"}}
		}},
		{"a removal", "spec.managementState is Removed", func(_ *Snapshot, to *v1beta1.LoadBalancerStack) { to.Spec.ManagementState = v1beta1.StackRemoved }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := plannedBed()
			to := s.Stack.DeepCopy()
			tt.change(s, to)
			if _, err := Plan(s, to); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got the error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestPlan_OfAPausedStackBeginsWithThePause: the operator makes no change of the plan before the annotation is removed.
func TestPlan_OfAPausedStackBeginsWithThePause(t *testing.T) {
	for value, want := range map[string]bool{"": true, "repair": true, "false": false} {
		s := plannedBed()
		to := s.Stack.DeepCopy()
		to.Annotations = map[string]string{v1beta1.AnnotationPause: value}
		changes, err := Plan(s, to)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := changes.Print(&text); err != nil {
			t.Fatal(err)
		}
		if got := strings.HasPrefix(text.String(), "The operator changes nothing now: the annotation lbstack.io/pause is set"); got != want || !changes.None() {
			t.Errorf("the value %q: printed\n%s", value, &text)
		}
	}
}

// TestPlan_ObjectThatStaysInvalidIsNoChange: a plan names it, after what becomes invalid, and it does not fail a check in CI.
func TestPlan_ObjectThatStaysInvalidIsNoChange(t *testing.T) {
	s := plannedBed()
	wrong := []v1beta1.AddressRange{"192.0.2.9-192.0.2.1"}
	s.Stack.Spec.IPAddressPools[0].Addresses, s.Pools[0].Spec.Addresses = wrong, wrong
	to := s.Stack.DeepCopy()
	changes, err := Plan(s, to)
	if err != nil {
		t.Fatal(err)
	}
	if len(changes.Problems) != 1 || !strings.HasPrefix(changes.Problems[0].String(), "IPAddressPool first stays InvalidAddresses, and the stack PoolNotReady: ") || !changes.None() {
		t.Errorf("got the problems %v, nothing changes: %v, want a pool that stays invalid, and no change", changes.Problems, changes.None())
	}
	to.Spec.BGPPeers[0].PeerAddress = "none"
	if changes, err = Plan(s, to); err != nil {
		t.Fatal(err)
	}
	if len(changes.Problems) != 2 || changes.Problems[0].Name != "tor-1" || changes.None() {
		t.Errorf("got the problems %v, nothing changes: %v, want the peer first", changes.Problems, changes.None())
	}
}
