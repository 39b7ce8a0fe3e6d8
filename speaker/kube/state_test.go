package kube

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/speaker"
)

func TestStatus(t *testing.T) {
	links := []speaker.Link{{Name: "eth0", Hardware: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
	tests := []struct {
		name   string
		report speaker.Report
		reason string
	}{
		{name: "a speaker with a link announces", report: speaker.Report{Links: links, Live: 3}, reason: v1beta1.ReasonAnnouncing},
		{name: "a node without a link says so", report: speaker.Report{Live: 3}, reason: v1beta1.ReasonNoInterface},
		{name: "a broken advertisement is said", report: speaker.Report{Links: links, Problems: []string{"bad"}}, reason: v1beta1.ReasonInvalidAdvertisement},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := meta.FindStatusCondition(status(&v1beta1.SpeakerState{}, tt.report).Conditions, v1beta1.ConditionReady)
			if c == nil || c.Reason != tt.reason || c.Message == "" {
				t.Errorf("condition: got %+v, want reason %s and a message", c, tt.reason)
			}
		})
	}
}

func TestStatusListsWhatIsOwnedUpToTheBound(t *testing.T) {
	var r speaker.Report
	a := netip.MustParseAddr("10.0.0.0")
	for range maxListed + 1 {
		r.Owned = append(r.Owned, speaker.OwnedSince{Address: a, Owned: speaker.Owned{Interfaces: []string{"eth0"}}, Since: time.Unix(1, 5)})
		a = a.Next()
	}
	got := status(&v1beta1.SpeakerState{}, r)
	if len(got.Addresses) != maxListed || got.AddressCount != maxListed+1 {
		t.Errorf("got %d listed and a count of %d, want %d and %d", len(got.Addresses), got.AddressCount, maxListed, maxListed+1)
	}
	first := got.Addresses[0]
	if diff := cmp.Diff([]v1beta1.InterfaceName{"eth0"}, first.Interfaces); diff != "" || first.Address != "10.0.0.0" {
		t.Errorf("first address %+v, want 10.0.0.0 on eth0", first)
	}
}
