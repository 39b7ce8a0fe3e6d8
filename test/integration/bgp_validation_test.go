package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// aRouter has the required fields of a BGPPeer alone.
func aRouter(edits ...func(*v1beta1.BGPPeerSpec)) *v1beta1.BGPPeer {
	object := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1beta1.BGPPeerSpec{MyASN: 65000, PeerASN: 65001, PeerAddress: "10.0.0.1"}}
	for _, edit := range edits {
		edit(&object.Spec)
	}
	return object
}

func unnumbered(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.Interface = "", "eth1" }

type refusal struct {
	name   string
	object client.Object
	want   string // part of the refusal; empty: it is accepted
}

func (r refusal) test(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		err := administrator(t).Create(context.Background(), r.object, client.DryRunAll)
		switch {
		case r.want == "" && err != nil:
			t.Errorf("got %v, want it accepted", err)
		case r.want != "" && (err == nil || !strings.Contains(err.Error(), r.want)):
			t.Errorf("got %v, want a refusal with %q", err, r.want)
		}
	})
}

func TestRoutersAreRefusedWithASentence(t *testing.T) {
	edit := func(edits ...func(*v1beta1.BGPPeerSpec)) client.Object { return aRouter(edits...) }
	tests := []refusal{
		{name: "the least is accepted", object: edit()},
		{name: "everything is accepted", object: edit(func(s *v1beta1.BGPPeerSpec) {
			*s = v1beta1.BGPPeerSpec{
				MyASN: 4294967295, DynamicASN: v1beta1.DynamicASNExternal, LocalASN: 65100, PeerAddress: "2001:db8::1", PeerPort: 1179, SourceAddress: "2001:db8::7",
				RouterID: "10.0.0.7", NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}}, HoldTimeSeconds: new(int32(9)),
				KeepaliveTimeSeconds: 9, ConnectRetrySeconds: 65535, EBGPMultiHop: true, PassiveMode: true, PasswordSecret: &v1beta1.PasswordSecret{Name: "tor.password"},
				BFDProfile: "fast", StrictBFD: true, GracefulRestart: &v1beta1.BGPGracefulRestart{RestartTimeSeconds: 4095}, GracefulShutdownSeconds: new(int32(0)),
				VRF: "blue", DualStackAddressFamily: true,
			}
		})},
		{name: "an unnumbered one with a bound of hops is accepted", object: edit(unnumbered, func(s *v1beta1.BGPPeerSpec) { s.TTLSecurityHops = 1 })},
		{name: "one that never times out is accepted", object: edit(func(s *v1beta1.BGPPeerSpec) { s.HoldTimeSeconds = new(int32(0)) })},
		{name: "an IPv4 link-local address is accepted", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "169.254.1.1" })},
		{name: "no ASN", object: edit(func(s *v1beta1.BGPPeerSpec) { s.MyASN = 0 }), want: "should be greater than or equal to 1"},
		{name: "too large an ASN", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerASN = 1 << 32 }), want: "should be less than or equal to 4294967295"},
		{name: "no ASN of the router", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerASN = 0 }), want: "set exactly one of peerASN"},
		{name: "two ASNs of the router", object: edit(func(s *v1beta1.BGPPeerSpec) { s.DynamicASN = "External" }), want: "set exactly one of peerASN"},
		{name: "another kind of ASN", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerASN, s.DynamicASN = 0, "Any" }), want: `supported values: "Internal", "External"`},
		{name: "no address", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "" }), want: "set exactly one of peerAddress"},
		{name: "an address and an interface", object: edit(func(s *v1beta1.BGPPeerSpec) { s.Interface = "eth1" }), want: "set exactly one of peerAddress"},
		{name: "a host name", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "tor.example" }), want: "host names are not resolved"},
		{name: "an address with a zone", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "fe80::1%eth0" }), want: "peerAddress must be an IPv4 or IPv6 address without zone"},
		{name: "an IPv6 link-local address", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "fe80::1" }), want: "in place of an IPv6 link-local address set interface"},
		{name: "a multicast address", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "224.0.0.5" }), want: "must be the address of one host"},
		{name: "a source of another family", object: edit(func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = "2001:db8::7" }), want: "must be of the same family"},
		{name: "a source that is a word", object: edit(func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = "here" }), want: "sourceAddress must be an IPv4 or IPv6 address"},
		{name: "a source on an interface", object: edit(unnumbered, func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = "10.0.0.7" }), want: "sourceAddress cannot be set together with interface"},
		{name: "an IPv6 router ID", object: edit(func(s *v1beta1.BGPPeerSpec) { s.RouterID = "2001:db8::7" }), want: "routerID must look like an IPv4 address"},
		{name: "a router ID of zero", object: edit(func(s *v1beta1.BGPPeerSpec) { s.RouterID = "0.0.0.0" }), want: "and not be 0.0.0.0"},
		{name: "a port that does not exist", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PeerPort = 65536 }), want: "should be less than or equal to 65535"},
		{name: "too short a hold time", object: edit(func(s *v1beta1.BGPPeerSpec) { s.HoldTimeSeconds = new(int32(2)) }), want: "must be 0 (the session never times out) or at least 3"},
		{name: "a keepalive time beyond the default hold time", object: edit(func(s *v1beta1.BGPPeerSpec) { s.KeepaliveTimeSeconds = 31 }), want: "leave it out for a third of the hold time"},
		{name: "several hops inside", object: edit(func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.PeerASN = true, 65000 }), want: "peerASN is our own: remove ebgpMultiHop"},
		{name: "several hops inside, as another ASN", object: edit(func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.LocalASN = true, 65001 }), want: "peerASN is our own: remove ebgpMultiHop"},
		{name: "several hops out, from another ASN, is accepted", object: edit(func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.PeerASN, s.LocalASN = true, 65000, 65001 })},
		{name: "several hops to whatever is inside", object: edit(func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.PeerASN, s.DynamicASN = true, 0, "Internal" }), want: "dynamicASN is Internal: remove ebgpMultiHop"},
		{name: "several hops and a bound", object: edit(func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.TTLSecurityHops = true, 2 }), want: "ebgpMultiHop and ttlSecurityHops exclude each other"},
		{name: "several hops on an interface", object: edit(unnumbered, func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop = true }), want: "is one hop away: remove ebgpMultiHop"},
		{name: "too many hops", object: edit(func(s *v1beta1.BGPPeerSpec) { s.TTLSecurityHops = 255 }), want: "should be less than or equal to 254"},
		{name: "waiting for a path that nobody watches", object: edit(func(s *v1beta1.BGPPeerSpec) { s.StrictBFD = true }), want: "strictBFD needs a BFD session to wait for: set bfdProfile"},
		{name: "a Secret without name", object: edit(func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &v1beta1.PasswordSecret{} }), want: "spec.passwordSecret.name"},
		{name: "too long a restart", object: edit(func(s *v1beta1.BGPPeerSpec) {
			s.GracefulRestart = &v1beta1.BGPGracefulRestart{RestartTimeSeconds: 4096}
		}), want: "should be less than or equal to 4095"},
		{name: "too long a shutdown", object: edit(func(s *v1beta1.BGPPeerSpec) { s.GracefulShutdownSeconds = new(int32(61)) }), want: "should be less than or equal to 60"},
		{name: "a name that nobody can refer to", object: &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor.a"}, Spec: aRouter().Spec}, want: "the name of a BGPPeer must be a DNS label"},
	}
	for _, tt := range tests {
		tt.test(t)
	}
}

func TestAnnouncementsToRoutersAreRefusedWithASentence(t *testing.T) {
	announce := func(spec v1beta1.BGPAdvertisementSpec) client.Object {
		return &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: spec}
	}
	marked := func(list ...v1beta1.CommunityReference) client.Object {
		return announce(v1beta1.BGPAdvertisementSpec{Communities: list})
	}
	many := make([]v1beta1.CommunityReference, 0, 33)
	for i := range 33 {
		many = append(many, v1beta1.CommunityReference(fmt.Sprintf("65000:%d", i)))
	}
	some := []metav1.LabelSelector{{MatchLabels: map[string]string{"public": "yes"}}}
	tests := []refusal{
		{name: "everything to everybody is accepted", object: announce(v1beta1.BGPAdvertisementSpec{})},
		{name: "all fields are accepted", object: announce(v1beta1.BGPAdvertisementSpec{
			IPAddressPools: []v1beta1.ObjectName{"gold"}, IPAddressPoolSelectors: some, NodeSelectors: some, Peers: []v1beta1.ObjectName{"tor"}, AggregationLength: 24,
			AggregationLengthV6: 64, LocalPref: new(int64(4294967295)), MED: new(int64(0)), ASPathPrepend: 10, Communities: many[:32],
		})},
		{name: "communities of all forms are accepted", object: marked("65535:65535", "large:4294967295:0:1", "no-export", "transit", "as65000", "65000")},
		{name: "some Services, alone, are accepted", object: announce(v1beta1.BGPAdvertisementSpec{ServiceSelectors: some, AggregationLength: 32})},
		{name: "some Services of a wider prefix", object: announce(v1beta1.BGPAdvertisementSpec{ServiceSelectors: some, AggregationLength: 31}), want: "serviceSelectors need aggregationLength 32 and aggregationLengthV6 128"},
		{name: "some namespaces of a wider prefix", object: announce(v1beta1.BGPAdvertisementSpec{NamespaceSelectors: some, AggregationLength: 31}), want: "namespaceSelectors need aggregationLength 32 and aggregationLengthV6 128"},
		{name: "some Services of a wider IPv6 prefix", object: announce(v1beta1.BGPAdvertisementSpec{ServiceSelectors: some, AggregationLengthV6: 64}), want: "serviceSelectors need aggregationLength 32 and aggregationLengthV6 128"},
		{name: "too long a prefix", object: announce(v1beta1.BGPAdvertisementSpec{AggregationLength: 33}), want: "should be less than or equal to 32"},
		{name: "too long an IPv6 prefix", object: announce(v1beta1.BGPAdvertisementSpec{AggregationLengthV6: 129}), want: "should be less than or equal to 128"},
		{name: "too large a preference", object: announce(v1beta1.BGPAdvertisementSpec{LocalPref: new(int64(1 << 32))}), want: "should be less than or equal to 4294967295"},
		{name: "a negative MED", object: announce(v1beta1.BGPAdvertisementSpec{MED: new(int64(-1))}), want: "should be greater than or equal to 0"},
		{name: "too long a path", object: announce(v1beta1.BGPAdvertisementSpec{ASPathPrepend: 11}), want: "should be less than or equal to 10"},
		{name: "a peer twice", object: announce(v1beta1.BGPAdvertisementSpec{Peers: []v1beta1.ObjectName{"tor", "tor"}}), want: "Duplicate value"},
		{name: "a pool twice", object: announce(v1beta1.BGPAdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"p", "p"}}), want: "Duplicate value"},
		{name: "a community twice", object: marked("1:2", "1:2"), want: "Duplicate value"},
		{name: "too many communities", object: marked(many...), want: "must have at most 32 items"},
		{name: "too large a number", object: marked("65536:1"), want: "both numbers of a community must be at most 65535"},
		{name: "too large a number of a large one", object: marked("large:1:2:4294967296"), want: "the three numbers of a large community must be at most 4294967295"},
		{name: "three numbers", object: marked("1:2:3"), want: "spec.communities[0]"},
	}
	for _, tt := range tests {
		tt.test(t)
	}
}

func TestProfilesAndCommunitiesAreRefusedWithASentence(t *testing.T) {
	profile := func(spec v1beta1.BFDProfileSpec) client.Object {
		return &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Spec: spec}
	}
	names := func(pairs ...string) client.Object {
		object := &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "ours"}}
		for i := 0; i < len(pairs); i += 2 {
			object.Spec.Communities = append(object.Spec.Communities, v1beta1.CommunityAlias{Name: pairs[i], Value: v1beta1.CommunityReference(pairs[i+1])})
		}
		return object
	}
	tests := []refusal{
		{name: "an empty profile is accepted", object: profile(v1beta1.BFDProfileSpec{})},
		{name: "a profile with every field is accepted", object: profile(v1beta1.BFDProfileSpec{
			ReceiveIntervalMilliseconds: 10, TransmitIntervalMilliseconds: 60000, DetectMultiplier: 255, PassiveMode: true, MinimumTTL: 1})},
		{name: "too often", object: profile(v1beta1.BFDProfileSpec{ReceiveIntervalMilliseconds: 9}), want: "should be greater than or equal to 10"},
		{name: "too seldom", object: profile(v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 60001}), want: "should be less than or equal to 60000"},
		{name: "too soon", object: profile(v1beta1.BFDProfileSpec{DetectMultiplier: 1}), want: "should be greater than or equal to 2"},
		{name: "no hop at all", object: profile(v1beta1.BFDProfileSpec{MinimumTTL: 255}), want: "should be less than or equal to 254"},
		{name: "a profile that nobody can name", object: &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("x", 64)}}, want: "the name of a BFDProfile must be a DNS label"},
		{name: "names of all forms are accepted", object: names("one", "65000:1", "big", "large:1:2:3", "stay", "no-export", "no-advertise", "65535:65282", "no-peer", "no-peer")},
		{name: "no names", object: names(), want: "spec.communities"},
		{name: "a name twice", object: names("x", "1:1", "x", "1:2"), want: "Duplicate value"},
		{name: "a name that looks like a community", object: names("1:1", "1:2"), want: "spec.communities[0].name"},
		{name: "a well-known name that means something else", object: names("no-export", "1:2"), want: "name is that of a well-known community, which cannot have another value"},
		{name: "a name of a name", object: names("x", "transit"), want: "an alias cannot refer to another alias"},
		{name: "too large a number", object: names("x", "1:65536"), want: "both numbers of a community must be at most 65535"},
	}
	for _, tt := range tests {
		tt.test(t)
	}
}

func TestRoutersHaveTheDefaults(t *testing.T) {
	c := administrator(t)
	peer := aRouter(func(s *v1beta1.BGPPeerSpec) { s.GracefulRestart = &v1beta1.BGPGracefulRestart{} })
	create(t, c, peer)
	s := peer.Spec
	if s.PeerPort != 179 || *s.HoldTimeSeconds != 30 || s.ConnectRetrySeconds != 2 || *s.GracefulShutdownSeconds != 2 || s.GracefulRestart.RestartTimeSeconds != 120 || s.KeepaliveTimeSeconds != 0 {
		t.Errorf("defaults of a BGPPeer: got %+v", s)
	}
	ad := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	create(t, c, ad)
	if ad.Spec.AggregationLength != 32 || ad.Spec.AggregationLengthV6 != 128 || ad.Spec.LocalPref != nil || ad.Spec.MED != nil {
		t.Errorf("defaults of a BGPAdvertisement: got %+v", ad.Spec)
	}
	profile := &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}
	create(t, c, profile)
	want := v1beta1.BFDProfileSpec{ReceiveIntervalMilliseconds: 300, TransmitIntervalMilliseconds: 300, DetectMultiplier: 3, MinimumTTL: 254}
	if profile.Spec != want {
		t.Errorf("defaults of a BFDProfile: got %+v, want %+v", profile.Spec, want)
	}
}
