package checkpoint

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

var byValue = cmpopts.EquateComparable(netip.Addr{})

func content() Content {
	a, b, c := netip.MustParseAddr("192.168.1.240"), netip.MustParseAddr("192.168.1.241"), netip.MustParseAddr("2001:db8::1")
	both := []layer2.Candidate{{Node: "node1", Interfaces: []string{"eth0"}, Preference: 3}, {Node: "node2", RequireSubnet: true}}
	return Content{
		Checkpoint: layer2.Checkpoint{
			Snapshot: layer2.Snapshot{
				Addresses: []layer2.AnnouncedAddress{{Address: a, Candidates: both}, {Address: b}, {Address: c, Candidates: both}},
				Draining:  map[lb.NodeName]bool{"node2": true},
				Detection: layer2.DetectionReportOnly,
			},
			Claims: ownership.Claims{a: 7, c: 1},
		},
		Peers:   map[lb.NodeName]netip.Addr{"node2": netip.MustParseAddr("192.168.1.12")},
		Outside: []netip.Addr{b},
	}
}

func TestStore_ReadsItsCheckpoint(t *testing.T) {
	directory := t.TempDir()
	store, before := Open(directory, "node1", logr.Discard())
	if diff := cmp.Diff(Content{}, before, byValue); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	want := content()
	store.SaveEngine(want.Checkpoint)
	store.SavePeers(want.Peers)
	store.SaveOutsideAddresses(want.Outside)
	store.Flush()
	_, got := Open(directory, "node1", logr.Discard())
	if diff := cmp.Diff(want, got, byValue, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if _, other := Open(directory, "node2", logr.Discard()); len(other.Claims) > 0 {
		t.Errorf("another node found %v", other.Claims)
	}
}

func TestCheckpointHasWhetherThereAreOtherSpeakers(t *testing.T) {
	for name, peers := range map[string]map[lb.NodeName]netip.Addr{
		"it is not known": nil,
		"there is none":   {},
		"there is one":    content().Peers,
	} {
		directory := t.TempDir()
		store, _ := Open(directory, "node1", logr.Discard())
		store.SaveEngine(content().Checkpoint)
		if peers != nil {
			store.SavePeers(peers)
		}
		store.Flush()
		if _, got := Open(directory, "node1", logr.Discard()); !cmp.Equal(peers, got.Peers, byValue) {
			t.Errorf("%s: got %#v, want %#v", name, got.Peers, peers)
		}
	}
}

func TestUnreadableCheckpointIsNotUsed(t *testing.T) {
	for name, text := range map[string]string{
		"damaged":                   `{"format":1,"claims":{`,
		"another format":            `{"format":2,"claims":{"192.168.1.240":3}}`,
		"candidates that are not":   `{"format":1,"addresses":[{"address":"192.168.1.240","candidates":4}]}`,
		"no candidates at all":      `{"format":1,"addresses":[{"address":"192.168.1.240","candidates":0}]}`,
		"an address that means nil": `{"format":1,"claims":{"nowhere":3}}`,
	} {
		directory := t.TempDir()
		if err := os.WriteFile(filepath.Join(directory, "speaker-node1.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		store, got := Open(directory, "node1", logr.Discard())
		if diff := cmp.Diff(Content{}, got, byValue); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		store.SaveEngine(content().Checkpoint)
		store.Flush()
		if _, now := Open(directory, "node1", logr.Discard()); len(now.Claims) != 2 {
			t.Errorf("%s: nothing can be kept afterwards: %v", name, now.Claims)
		}
	}
}

func TestSpeakerThatCannotWriteItsCheckpointGoesOn(t *testing.T) {
	store, _ := Open(filepath.Join(t.TempDir(), "missing"), "node1", logr.Discard())
	store.SaveEngine(content().Checkpoint)
	store.Flush()
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":1,"addresses":[{"address":"192.168.1.240","candidates":0}],"candidates":[[{"Node":"a"}]]}`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = decodeFile(text) })
}
