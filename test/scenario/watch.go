package scenario

import (
	"net/netip"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/test/arpwatch"
)

// A Watch records which hosts answer for addresses.
type (
	Watch   = arpwatch.Watch
	Answers = arpwatch.Answers
)

// watcherAddress is the source address of the watch. No host has this address.
var watcherAddress = netip.MustParseAddr("192.168.1.199")

// Undisturbed returns an address for which a kernel answers that no test disturbs. A time without its
// answers is a stall of the machine.
func (s *Scenario) Undisturbed() string {
	for _, host := range s.Cluster.Hosts() {
		if host.Name == plan.ControlPlane {
			return host.V4.String()
		}
	}
	panic("the bed has no control plane")
}

// Watch begins to watch addresses on the network of the client host, until Close.
func (s *Scenario) Watch(addresses ...string) (*Watch, error) {
	return arpwatch.On(s.onClient, clientInterface, watcherAddress, addresses...)
}

// WatchSecond watches addresses on the network of SecondNetwork.
func (s *Scenario) WatchSecond(addresses ...string) (*Watch, error) {
	return arpwatch.On(s.onClient, secondInterface, secondWatcher, addresses...)
}

func (s *Scenario) onClient(do func() error) error { return s.Cluster.RunInHost("client", do) }
