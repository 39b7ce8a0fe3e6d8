package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// routersSpec is a spec that announces to a router.
func routersSpec() v1beta1.LoadBalancerStackSpec {
	spec := aSpec()
	spec.BGPPeers = []v1beta1.StackBGPPeer{
		{Name: "tor-a", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 65000, PeerASN: 65001, PeerAddress: "10.0.0.1", BFDProfile: "fast", PasswordSecret: &v1beta1.PasswordSecret{Name: "tor"}}},
		{Name: "tor-b", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 65000, DynamicASN: v1beta1.DynamicASNExternal, Interface: "eth1"}},
	}
	spec.BGPAdvertisements = []v1beta1.StackBGPAdvertisement{{Name: "edge", BGPAdvertisementSpec: v1beta1.BGPAdvertisementSpec{
		Peers: []v1beta1.ObjectName{"tor-a"}, Communities: []v1beta1.CommunityReference{"transit"}, LocalPref: new(int64(0))}}}
	spec.BFDProfiles = []v1beta1.StackBFDProfile{{Name: "fast", BFDProfileSpec: v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 50}}}
	spec.Communities = []v1beta1.StackCommunity{{Name: "ours", CommunitySpec: v1beta1.CommunitySpec{
		Communities: []v1beta1.CommunityAlias{{Name: "transit", Value: "65000:100"}}}}}
	return spec
}

func bgpPeer(name string) *v1beta1.BGPPeer {
	return &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestRoutersOfAStackBecomeObjects(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(routersSpec())
	peer, named := bgpPeer("tor-a"), metav1.ObjectMeta{Name: "edge"}
	ad := &v1beta1.BGPAdvertisement{ObjectMeta: named}
	profile := &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}
	community := &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "ours"}}
	for _, object := range []client.Object{peer, bgpPeer("tor-b"), ad, profile, community} {
		b.exists(object)
	}
	if s := peer.Spec; s.PeerASN != 65001 || s.PeerPort != 179 || s.BFDProfile != "fast" || s.PasswordSecret == nil || s.PasswordSecret.Name != "tor" {
		t.Errorf("peer: got %+v, want what the stack says", s)
	}
	if s := ad.Spec; len(s.Communities) != 1 || s.AggregationLength != 32 || s.LocalPref == nil || *s.LocalPref != 0 || s.MED != nil {
		t.Errorf("advertisement: got %+v, want what the stack says", s)
	}
	if profile.Spec.TransmitIntervalMilliseconds != 50 || profile.Spec.ReceiveIntervalMilliseconds != 300 || community.Spec.Communities[0].Value != "65000:100" {
		t.Errorf("got %+v and %+v, want what the stack says", profile.Spec, community.Spec)
	}
	t.Run("an edited peer is put right", func(t *testing.T) {
		b.patch(bgpPeer("tor-a"), `{"spec":{"peerAddress":"10.0.0.9","passiveMode":true}}`)
		b.becomes(peer, func(client.Object) bool { return peer.Spec.PeerAddress == "10.0.0.1" && !peer.Spec.PassiveMode })
	})
	t.Run("a passive peer needs a port below 1024", func(t *testing.T) {
		can := func(want bool) {
			t.Helper()
			daemonSet := speakerDaemonSet()
			b.becomes(daemonSet, func(client.Object) bool {
				return slices.Contains(daemonSet.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add, "NET_BIND_SERVICE") == want
			})
		}
		can(false)
		b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.BGPPeers[0].PassiveMode = true })
		can(true)
		b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.BGPPeers[0].PassiveMode = false })
		can(false)
	})
	t.Run("what is no longer wanted goes", func(t *testing.T) {
		b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
			s.BGPPeers, s.BGPAdvertisements, s.BFDProfiles, s.Communities = s.BGPPeers[1:], nil, nil, nil
		})
		for _, object := range []client.Object{bgpPeer("tor-a"), ad, profile, community} {
			b.isGone(object)
		}
		b.exists(bgpPeer("tor-b"))
	})
	b.removeStack()
	b.isGone(bgpPeer("tor-b"))
}

func TestSpeakersReadSecretsInTheirNamespaceOnly(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.installed()
	may := func(ctx context.Context, account, namespace, verb string) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + account,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: "secrets"},
		}}
		err := b.Create(ctx, review)
		return review.Status.Allowed, err
	}
	speaker, operator := systemNamespace+":lbstack-speaker", operatorNamespace+":lbstack-operator"
	for _, tt := range []struct {
		account, namespace, verb string
		want                     bool
	}{
		{speaker, systemNamespace, "get", true}, {speaker, systemNamespace, "list", true}, {speaker, systemNamespace, "watch", true},
		{speaker, systemNamespace, "update", false}, {speaker, "default", "get", false}, {speaker, "", "list", false},
		{systemNamespace + ":lbstack-controller", systemNamespace, "get", false},
		{operator, systemNamespace, "get", false}, {operator, "", "list", false},
	} {
		what := fmt.Sprintf("%s may %s Secrets in %q: %v", tt.account, tt.verb, tt.namespace, tt.want)
		eventually.Succeed(t, within, what, func(ctx context.Context) error {
			got, err := may(ctx, tt.account, tt.namespace, tt.verb)
			if err == nil && got != tt.want {
				err = fmt.Errorf("got %v", got)
			}
			return err
		})
	}
}
