package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
)

const (
	// secondInterface is the network card that SecondNetwork gives hosts.
	secondInterface = "eth1"
	// secondBridge is the switch between them.
	secondBridge = "br1"
	switchHost   = "lan"
)

// secondWatcher is the source address of the watch on the second network. No host has this address.
var secondWatcher = netip.MustParseAddr("10.77.0.199")

// SecondNetwork connects the client and all nodes by a second network card and a switch of its
// own, with addresses in 10.77.0.0/24. There is no gateway. It returns the hardware addresses of the
// cards by node. A node that loses power loses its card for good. RemoveSecondNetwork undoes it.
func (s *Scenario) SecondNetwork(ctx context.Context) (map[string]string, error) {
	if err := s.onSwitch(ctx, "link", "add", secondBridge, "type", "bridge"); err != nil {
		return nil, err
	}
	if err := s.onSwitch(ctx, "link", "set", secondBridge, "up"); err != nil {
		return nil, err
	}
	macs := map[string]string{}
	for i, host := range append([]string{"client"}, s.Cluster.Nodes()...) {
		mac := fmt.Sprintf("02:00:0a:4d:00:%02x", 200+i)
		cable := secondCable(host)
		if err := s.onSwitch(ctx, "link", "add", cable, "master", secondBridge, "type", "veth", "peer", "name", secondInterface,
			"address", mac, "netns", lan.NamespaceName(s.Cluster.Name(), host)); err != nil {
			return nil, err
		}
		if err := s.onSwitch(ctx, "link", "set", cable, "up"); err != nil {
			return nil, err
		}
		for _, args := range [][]string{
			{"ip", "address", "add", fmt.Sprintf("10.77.0.%d/24", 200+i), "dev", secondInterface}, {"ip", "link", "set", secondInterface, "up"},
		} {
			if out, err := s.Cluster.Exec(ctx, host, args...); err != nil {
				return nil, fmt.Errorf("connecting %s: %w: %s", host, err, out)
			}
		}
		macs[host] = mac
	}
	delete(macs, "client")
	return macs, nil
}

func secondCable(host string) string { return host + "-1" }

// RemoveSecondNetwork undoes SecondNetwork, as far as it was done.
func (s *Scenario) RemoveSecondNetwork(ctx context.Context) (err error) {
	for _, host := range append([]string{"client"}, s.Cluster.Nodes()...) {
		err = errors.Join(err, s.removeLink(ctx, secondCable(host)))
	}
	return errors.Join(err, s.removeLink(ctx, secondBridge))
}

func (s *Scenario) removeLink(ctx context.Context, name string) error {
	if err := s.onSwitch(ctx, "link", "delete", name); err != nil && !strings.Contains(err.Error(), "Cannot find device") {
		return err
	}
	return nil
}

// onSwitch runs ip in the namespace of the switches.
func (s *Scenario) onSwitch(ctx context.Context, args ...string) error {
	return lan.RunInNamespace(lan.NamespaceName(s.Cluster.Name(), switchHost), func() error {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	})
}
