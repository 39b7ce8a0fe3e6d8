package apiconv

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
)

var addresses = cmpopts.EquateComparable(netip.Addr{})

// aPeer has the required fields alone.
func aPeer(edits ...func(*v1beta1.BGPPeerSpec)) *v1beta1.BGPPeer {
	object := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1beta1.BGPPeerSpec{MyASN: 65000, PeerASN: 65001, PeerAddress: "10.0.0.1"}}
	for _, edit := range edits {
		edit(&object.Spec)
	}
	return object
}

func TestParseBGPPeer(t *testing.T) {
	least := bgp.Peer{
		Name: "tor", ASN: 65000, Remote: bgp.RemoteASN{ASN: 65001}, Address: netip.MustParseAddr("10.0.0.1"), Port: 179,
		Hold: 30 * time.Second, ConnectRetry: 2 * time.Second, ShutdownWait: 2 * time.Second,
	}
	tests := []struct {
		name   string
		edit   func(*v1beta1.BGPPeerSpec)
		want   func(*bgp.Peer)
		secret string
	}{
		{name: "the least has the defaults", edit: func(*v1beta1.BGPPeerSpec) {}, want: func(*bgp.Peer) {}},
		{
			name: "everything of a session over several hops",
			edit: func(s *v1beta1.BGPPeerSpec) {
				*s = v1beta1.BGPPeerSpec{
					MyASN: 65000, DynamicASN: v1beta1.DynamicASNExternal, LocalASN: 4200000000, PeerAddress: "2001:db8::1", PeerPort: 1179, SourceAddress: "2001:db8::7",
					RouterID: "10.9.9.9", HoldTimeSeconds: new(int32(9)), KeepaliveTimeSeconds: 2, ConnectRetrySeconds: 5, EBGPMultiHop: true, PassiveMode: true,
					PasswordSecret: &v1beta1.PasswordSecret{Name: "tor-password"}, BFDProfile: "fast", StrictBFD: true,
					GracefulRestart: &v1beta1.BGPGracefulRestart{RestartTimeSeconds: 60}, GracefulShutdownSeconds: new(int32(0)), VRF: "blue", DualStackAddressFamily: true,
				}
			},
			want: func(p *bgp.Peer) {
				*p = bgp.Peer{
					Name: "tor", ASN: 4200000000, Remote: bgp.RemoteASN{Kind: bgp.ExternalPeer}, Address: netip.MustParseAddr("2001:db8::1"), Port: 1179,
					Source: netip.MustParseAddr("2001:db8::7"), RouterID: netip.MustParseAddr("10.9.9.9"), VRF: "blue", Hold: 9 * time.Second, Keepalive: 2 * time.Second,
					ConnectRetry: 5 * time.Second, Multihop: true, Passive: true, RestartTime: time.Minute, DualStack: true, BFDProfile: "fast", StrictBFD: true,
				}
			},
			secret: "tor-password",
		},
		{
			name: "an unnumbered internal one",
			edit: func(s *v1beta1.BGPPeerSpec) {
				s.PeerASN, s.DynamicASN, s.PeerAddress, s.Interface, s.TTLSecurityHops = 0, v1beta1.DynamicASNInternal, "", "eth1", 1
			},
			want: func(p *bgp.Peer) {
				p.Remote, p.Address, p.Interface, p.SecurityHops = bgp.RemoteASN{Kind: bgp.InternalPeer}, netip.Addr{}, "eth1", 1
			},
		},
		{
			name: "no hold time, and the default time of a restart",
			edit: func(s *v1beta1.BGPPeerSpec) {
				s.HoldTimeSeconds, s.GracefulRestart = new(int32(0)), &v1beta1.BGPGracefulRestart{}
			},
			want: func(p *bgp.Peer) { p.Hold, p.RestartTime = 0, 2*time.Minute },
		},
		{
			name: "IPv4 in IPv6 is IPv4",
			edit: func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "::ffff:10.0.0.1" },
			want: func(*bgp.Peer) {},
		},
		{
			name: "an IPv4 link-local router",
			edit: func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "169.254.0.1" },
			want: func(p *bgp.Peer) { p.Address = netip.MustParseAddr("169.254.0.1") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := least
			tt.want(&want)
			got, err := ParseBGPPeer(aPeer(tt.edit))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Peer, addresses); diff != "" {
				t.Errorf("read wrongly (-want +got):\n%s", diff)
			}
			if got.PasswordSecret != tt.secret {
				t.Errorf("Secret: got %q, want %q", got.PasswordSecret, tt.secret)
			}
		})
	}
}

func TestWhichNodesHaveASession(t *testing.T) {
	rack := aPeer(func(s *v1beta1.BGPPeerSpec) {
		s.NodeSelectors = []metav1.LabelSelector{labelled("rack", "1"), labelled("rack", "2")}
	})
	for _, tt := range []struct {
		name string
		peer *v1beta1.BGPPeer
		rack string
		want bool
	}{
		{"without selectors, all", aPeer(), "3", true},
		{"one selector that matches is enough", rack, "2", true},
		{"no selector matches", rack, "3", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParseBGPPeer(tt.peer)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.SelectsNode(map[string]string{"rack": tt.rack}); got != tt.want {
				t.Errorf("a node of rack %s: got %v, want %v", tt.rack, got, tt.want)
			}
		})
	}
}

func TestInvalidFieldOfABGPPeerIsNamed(t *testing.T) {
	tests := []struct {
		name string
		edit func(*v1beta1.BGPPeerSpec)
		want string
	}{
		{"no ASN", func(s *v1beta1.BGPPeerSpec) { s.MyASN = 0 }, "spec.myASN: 0 is not an autonomous system number from 1 to 4294967295"},
		{"too large an ASN", func(s *v1beta1.BGPPeerSpec) { s.LocalASN = 1 << 32 }, "spec.localASN: 4294967296 is not"},
		{"no ASN of the router", func(s *v1beta1.BGPPeerSpec) { s.PeerASN = 0 }, "spec.peerASN: exactly one of"},
		{"two ASNs of the router", func(s *v1beta1.BGPPeerSpec) { s.DynamicASN = "Internal" }, "spec.peerASN: exactly one of"},
		{"another kind of ASN", func(s *v1beta1.BGPPeerSpec) { s.PeerASN, s.DynamicASN = 0, "Any" }, `spec.dynamicASN: "Any" is neither`},
		{"no address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "" }, "spec.peerAddress: exactly one of"},
		{"an address and an interface", func(s *v1beta1.BGPPeerSpec) { s.Interface = "eth0" }, "spec.peerAddress: exactly one of"},
		{"a host name", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "tor.example" }, `spec.peerAddress: "tor.example" is not an IP address`},
		{"an address with a zone", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "fe80::1%eth0" }, `spec.peerAddress: "fe80::1%eth0" is not an IP address without zone`},
		{"an IPv6 link-local address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "fe80::1" }, "spec.peerAddress: fe80::1 is not the address of one host; in place"},
		{"a multicast address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "224.0.0.5" }, "spec.peerAddress: 224.0.0.5 is not the address of one host"},
		{"a source that is a word", func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = "here" }, "spec.sourceAddress: "},
		{"a source of another family", func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = "2001:db8::1" }, "spec.sourceAddress: must be of the family"},
		{"a source on an interface", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.Interface, s.SourceAddress = "", "eth0", "10.0.0.2" }, "spec.sourceAddress: cannot be set together"},
		{"an IPv6 router ID", func(s *v1beta1.BGPPeerSpec) { s.RouterID = "2001:db8::1" }, "spec.routerID: must look like"},
		{"no router ID", func(s *v1beta1.BGPPeerSpec) { s.RouterID = "0.0.0.0" }, "spec.routerID: must look like"},
		{"a port that does not exist", func(s *v1beta1.BGPPeerSpec) { s.PeerPort = 65536 }, "spec.peerPort: 65536 is not a number from 1 to 65535"},
		{"too short a hold time", func(s *v1beta1.BGPPeerSpec) { s.HoldTimeSeconds = new(int32(2)) }, "spec.holdTimeSeconds: must be 0 or at least 3"},
		{"a keepalive time beyond the default hold time", func(s *v1beta1.BGPPeerSpec) { s.KeepaliveTimeSeconds = 31 }, "spec.keepaliveTimeSeconds: must not be more"},
		{"a keepalive time without a hold time", func(s *v1beta1.BGPPeerSpec) { s.HoldTimeSeconds, s.KeepaliveTimeSeconds = new(int32(0)), 1 }, "spec.keepaliveTimeSeconds: must not be more"},
		{"a negative retry time", func(s *v1beta1.BGPPeerSpec) { s.ConnectRetrySeconds = -1 }, "spec.connectRetrySeconds: -1 is not"},
		{"several hops inside", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.PeerASN = true, 65000 }, "spec.ebgpMultiHop: is for routers in another"},
		{"several hops inside, as another ASN", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.LocalASN = true, 65001 }, "spec.ebgpMultiHop: is for routers in another"},
		{"several hops to whatever is inside", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.PeerASN, s.DynamicASN = true, 0, "Internal" }, "spec.ebgpMultiHop: is for routers in another"},
		{"several hops and a bound", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.TTLSecurityHops = true, 2 }, "spec.ebgpMultiHop: cannot be set together with ttlSecurityHops"},
		{"several hops on an interface", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.PeerAddress, s.Interface = true, "", "eth0" }, "spec.ebgpMultiHop: cannot be set together with interface"},
		{"too many hops", func(s *v1beta1.BGPPeerSpec) { s.TTLSecurityHops = 255 }, "spec.ttlSecurityHops: 255 is not a number from 0 to 254"},
		{"waiting for a path that nobody watches", func(s *v1beta1.BGPPeerSpec) { s.StrictBFD = true }, "spec.strictBFD: needs bfdProfile"},
		{"a Secret without name", func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &v1beta1.PasswordSecret{} }, "spec.passwordSecret.name: is missing"},
		{"too long a restart", func(s *v1beta1.BGPPeerSpec) {
			s.GracefulRestart = &v1beta1.BGPGracefulRestart{RestartTimeSeconds: 4096}
		}, "spec.gracefulRestart.restartTimeSeconds: 4096"},
		{"too long a shutdown", func(s *v1beta1.BGPPeerSpec) { s.GracefulShutdownSeconds = new(int32(61)) }, "spec.gracefulShutdownSeconds: 61"},
		{"a selector", func(s *v1beta1.BGPPeerSpec) {
			s.NodeSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}}
		}, "spec.nodeSelectors[0]: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseBGPPeer(aPeer(tt.edit))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || err.Reason != v1beta1.ReasonInvalidPeer {
				t.Errorf("got %+v, %v; want a refusal that begins with %q", got, err, tt.want)
			}
		})
	}
}

func TestParseBFDProfile(t *testing.T) {
	tests := []struct {
		name    string
		spec    v1beta1.BFDProfileSpec
		want    bfd.Profile
		refused string
	}{
		{name: "no optional field, the defaults", want: bfd.Profile{Receive: 300 * time.Millisecond, Transmit: 300 * time.Millisecond, Multiplier: 3, MinimumTTL: 254}},
		{
			name: "every field",
			spec: v1beta1.BFDProfileSpec{ReceiveIntervalMilliseconds: 10, TransmitIntervalMilliseconds: 60000, DetectMultiplier: 255, PassiveMode: true, MinimumTTL: 1},
			want: bfd.Profile{Receive: 10 * time.Millisecond, Transmit: time.Minute, Multiplier: 255, Passive: true, MinimumTTL: 1},
		},
		{name: "too often", spec: v1beta1.BFDProfileSpec{ReceiveIntervalMilliseconds: 9}, refused: "spec.receiveIntervalMilliseconds: 9 is not a number from 10 to 60000"},
		{name: "too seldom", spec: v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 60001}, refused: "spec.transmitIntervalMilliseconds: 60001 is not"},
		{name: "too soon", spec: v1beta1.BFDProfileSpec{DetectMultiplier: 1}, refused: "spec.detectMultiplier: 1 is not a number from 2 to 255"},
		{name: "no hop at all", spec: v1beta1.BFDProfileSpec{MinimumTTL: 255}, refused: "spec.minimumTTL: 255 is not a number from 1 to 254"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseBFDProfile(&v1beta1.BFDProfile{Spec: tt.spec})
			if tt.refused != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.refused) || err.Reason != v1beta1.ReasonInvalidProfile {
					t.Errorf("got %+v, %v; want a refusal that begins with %q", got, err, tt.refused)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParsePassword(t *testing.T) {
	secret := func(kind corev1.SecretType, password string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Type: kind, Data: map[string][]byte{"password": []byte(password)}}
	}
	for _, tt := range []struct {
		name    string
		secret  *corev1.Secret
		want    bgp.Password
		refused string
	}{
		{name: "a password", secret: secret(corev1.SecretTypeBasicAuth, "tell nobody"), want: "tell nobody"},
		{name: "the longest password", secret: secret(corev1.SecretTypeBasicAuth, strings.Repeat("x", 80)), want: bgp.Password(strings.Repeat("x", 80))},
		{name: "a Secret of another type", secret: secret(corev1.SecretTypeOpaque, "tell nobody"), refused: `is of type "Opaque" and not kubernetes.io/basic-auth`},
		{name: "no entry", secret: &corev1.Secret{Type: corev1.SecretTypeBasicAuth}, refused: `its entry "password" is missing or empty`},
		{name: "an empty password", secret: secret(corev1.SecretTypeBasicAuth, ""), refused: "is missing or empty"},
		{name: "too long a password", secret: secret(corev1.SecretTypeBasicAuth, strings.Repeat("tell", 21)), refused: "of 84 bytes, but at most 80 bytes are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePassword(tt.secret)
			if tt.refused == "" && (err != nil || got != tt.want) {
				t.Errorf("got %v; want the password", err)
			}
			if tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused) || strings.Contains(err.Error(), "tell")) {
				t.Errorf("got %v; want a refusal with %q without the password", err, tt.refused)
			}
		})
	}
}
