package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
		t.Errorf("peer: got %+v, want the values of the stack", s)
	}
	if s := ad.Spec; len(s.Communities) != 1 || s.AggregationLength != 32 || s.LocalPref == nil || *s.LocalPref != 0 || s.MED != nil {
		t.Errorf("advertisement: got %+v, want the values of the stack", s)
	}
	if profile.Spec.TransmitIntervalMilliseconds != 50 || profile.Spec.ReceiveIntervalMilliseconds != 300 || community.Spec.Communities[0].Value != "65000:100" {
		t.Errorf("got %+v and %+v, want the values of the stack", profile.Spec, community.Spec)
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

// TestPasswords_SpeakersReadTheCopyOnly runs the controller as RBAC lets it, and reads the
// Secret with a token of a speaker.
func TestPasswords_SpeakersReadTheCopyOnly(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(routersSpec())
	b.installed()
	account := "system:serviceaccount:" + systemNamespace + ":lbstack-controller"
	start(t, "controller", []string{
		"KUBECONFIG=" + b.impersonating(account, "system:serviceaccounts", "system:serviceaccounts:"+systemNamespace, "system:authenticated"),
		"POD_NAMESPACE=" + systemNamespace,
	}, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	create(t, b.Client, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "passwords"}})
	speaker := b.speakerToken("passwords")
	copied := func(want map[string]string) {
		t.Helper()
		eventually.Succeed(t, within, fmt.Sprintf("a speaker reads the passwords %v", want), func(ctx context.Context) error {
			var list corev1.SecretList
			err := speaker.List(ctx, &list, client.InNamespace(systemNamespace), client.MatchingFields{"metadata.name": "lbstack-bgp-passwords"})
			if err != nil {
				return err
			}
			got := map[string]string{}
			for _, secret := range list.Items {
				for name, password := range secret.Data {
					got[name] = string(password)
				}
			}
			if !maps.Equal(got, want) {
				return fmt.Errorf("got %v", got)
			}
			return nil
		})
	}
	copied(map[string]string{})
	secret := func(name string, kind corev1.SecretType, password string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name}, Type: kind, StringData: map[string]string{"password": password}}
	}
	tor := secret("tor", corev1.SecretTypeBasicAuth, "one")
	create(t, b.Client, tor)
	create(t, b.Client, secret("registry", corev1.SecretTypeBasicAuth, "not a router's"))
	create(t, b.Client, secret("edge", corev1.SecretTypeOpaque, "of another type"))
	copied(map[string]string{"tor": "one"})
	standalone := bgpPeer("standalone")
	standalone.Spec = v1beta1.BGPPeerSpec{MyASN: 65000, PeerASN: 65009, PeerAddress: "10.0.0.9", PasswordSecret: &v1beta1.PasswordSecret{Name: "own"}}
	create(t, b.Client, standalone)
	create(t, b.Client, secret("own", corev1.SecretTypeBasicAuth, "mine"))
	copied(map[string]string{"tor": "one", "own": "mine"})
	b.patch(tor, `{"stringData":{"password":"two"}}`)
	copied(map[string]string{"tor": "two", "own": "mine"})
	remove(t, b.Client, standalone)
	copied(map[string]string{"tor": "two"})
	remove(t, b.Client, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-bgp-passwords"}})
	copied(map[string]string{"tor": "two"})
	remove(t, b.Client, tor)
	copied(map[string]string{})
	refused := map[string]func(context.Context) error{
		"lists all Secrets": func(ctx context.Context) error {
			return speaker.List(ctx, &corev1.SecretList{}, client.InNamespace(systemNamespace))
		},
		"reads the Secret that a peer names": func(ctx context.Context) error {
			return speaker.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: "registry"}, &corev1.Secret{})
		},
		"reads the keys of the mesh": func(ctx context.Context) error {
			return speaker.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: "lbstack-mesh-keys"}, &corev1.Secret{})
		},
		"lists Secrets of another namespace": func(ctx context.Context) error {
			return speaker.List(ctx, &corev1.SecretList{}, client.InNamespace("default"), client.MatchingFields{"metadata.name": "lbstack-bgp-passwords"})
		},
	}
	for what, read := range refused {
		if err := read(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("a speaker %s: got the error %v, want Forbidden", what, err)
		}
	}
}

func TestSecrets_ReadAccess(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.installed()
	speaker, operator := systemNamespace+":lbstack-speaker", systemNamespace+":lbstack-operator"
	controller := systemNamespace + ":lbstack-controller"
	const passwords = "lbstack-bgp-passwords"
	for _, tt := range []struct {
		account, namespace, name, verb string
		want                           bool
	}{
		{speaker, systemNamespace, passwords, "list", true}, {speaker, systemNamespace, passwords, "watch", true},
		{speaker, systemNamespace, passwords, "patch", false}, {speaker, systemNamespace, "", "list", false},
		{speaker, systemNamespace, "other", "get", false}, {speaker, "default", passwords, "list", false},
		{controller, systemNamespace, "", "list", true}, {controller, systemNamespace, passwords, "patch", true},
		{controller, systemNamespace, "other", "patch", false}, {controller, systemNamespace, "", "create", false}, {controller, "default", "", "list", false},
		{operator, systemNamespace, "other", "get", false}, {operator, systemNamespace, "", "list", false}, {operator, "", "", "list", false},
		{operator, "default", "lbstack-mesh-keys", "get", false}, {operator, "default", "", "create", false},
	} {
		what := fmt.Sprintf("%s may %s the Secret %q in %q: %v", tt.account, tt.verb, tt.name, tt.namespace, tt.want)
		eventually.Succeed(t, within, what, func(ctx context.Context) error {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:" + tt.account,
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: tt.namespace, Name: tt.name, Verb: tt.verb, Resource: "secrets"},
			}}
			if err := b.Create(ctx, review); err != nil {
				return err
			}
			if got := review.Status.Allowed; got != tt.want {
				return fmt.Errorf("got %v", got)
			}
			return nil
		})
	}
}
