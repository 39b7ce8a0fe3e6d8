package app

import (
	"net/netip"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	machine "github.com/lbstack/lbstack/internal/mesh"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// The engine decides nothing before the mesh has reported the other speakers, and the
// only speaker of a cluster has this from its checkpoint alone.
func TestResume(t *testing.T) {
	for name, test := range map[string]struct {
		peers map[lb.NodeName]netip.Addr
		want  int // speakers that are missing; -1: the mesh waits
	}{
		"it is not known which other speakers there are": {nil, -1},
		"there is no other speaker":                      {map[lb.NodeName]netip.Addr{}, 0},
		"there is another speaker":                       {map[lb.NodeName]netip.Addr{"node2": netip.MustParseAddr("127.0.0.2")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			views := make(chan machine.View, 16)
			peers, err := mesh.Start(mesh.Config{
				Profile: mesh.ProfileDefault,
				Node:    "node1", Address: netip.MustParseAddrPort("127.0.0.1:0"), Log: logr.Discard(),
				View: func(v machine.View) { views <- v }, Metrics: mesh.NewMetrics(prometheus.NewRegistry()),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := peers.Stop(); err != nil {
					t.Error(err)
				}
			})
			// Join hands over the first view before it returns.
			resumeCheckpoint(peers, layer2.New(layer2.Config{Self: "node1"}), checkpoint.Content{Peers: test.peers})
			got := -1
			select {
			case v := <-views:
				got = len(v.Missing)
			default:
			}
			if got != test.want {
				t.Errorf("got %d missing speakers, want %d", got, test.want)
			}
		})
	}
}
