package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

func TestAnAddressMovesWhenItsOwnerIsLost(t *testing.T) {
	for _, fault := range bed.Faults() {
		t.Run(fault.Name, func(t *testing.T) {
			installed(t)
			address := served(t)
			f, err := bed.LoseOwner(background(t), address, fault)
			t.Cleanup(func() { must(t, fault.Heal(background(t), f.Before.Node)) })
			must(t, err)
			t.Logf("%s moved from %s to %s, announced after %d ms, the client was without it for %d ms",
				address, f.Before.Node, f.After.Node, f.TakenOver.Milliseconds(), f.Gap.Milliseconds())
		})
	}
}

func TestANodeWithoutPowerLosesItsAddressesAndTakesNothingBack(t *testing.T) {
	installed(t)
	address := served(t)
	off := scenario.Fault{
		Name: "node without power",
		Hurt: func(_ context.Context, node string) error { return bed.Cluster.Kill(node) },
		Heal: bed.Cluster.Start,
	}
	f, err := bed.LoseOwner(background(t), address, off)
	healed := false
	heal := func() {
		if !healed {
			healed = true
			must(t, off.Heal(background(t), f.Before.Node))
		}
	}
	t.Cleanup(heal)
	must(t, err)
	heal()
	must(t, bed.EveryoneSeesEveryone(background(t)))
	now, err := bed.Settled(background(t), address)
	must(t, err)
	if now.Node != f.After.Node {
		t.Errorf("when %s was back, %s owned %s, want %s as before", f.Before.Node, now.Node, address, f.After.Node)
	}
}

func TestPlannedMovesLoseNoConnection(t *testing.T) {
	t.Run("a rolling restart of the speakers, which keep what they own", func(t *testing.T) {
		installed(t)
		address := served(t)
		before, err := bed.Settled(background(t), address)
		must(t, err)
		c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
			return bed.RestartSpeakers(ctx, time.Now().Format(time.RFC3339Nano))
		})
		must(t, err)
		lossless(t, c, 0)
		must(t, bed.EveryoneSeesEveryone(background(t)))
		after, err := bed.Settled(background(t), address)
		must(t, err)
		if after.Node != before.Node {
			t.Errorf("the address moved from %s to %s", before.Node, after.Node)
		}
	})
	t.Run("a drained node hands over, and gets nothing back when it is drained no more", func(t *testing.T) {
		installed(t)
		address := served(t)
		before, err := bed.Settled(background(t), address)
		must(t, err)
		t.Cleanup(func() { must(t, bed.Drain(background(t), before.Node, false)) })
		var after scenario.Owner
		c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
			if err := bed.Drain(ctx, before.Node, true); err != nil {
				return err
			}
			return eventually.Poll(ctx, func(ctx context.Context) (err error) {
				if after, err = bed.Settled(ctx, address); err == nil && after.Node == before.Node {
					err = fmt.Errorf("%s still owns %s", after.Node, address)
				}
				return err
			})
		})
		must(t, err)
		lossless(t, c, 1)
		must(t, bed.Drain(background(t), before.Node, false))
		if now, err := bed.Settled(background(t), address); err != nil || now.Node != after.Node {
			t.Errorf("when %s was drained no more, %s owned %s (%v), want %s", before.Node, now.Node, address, err, after.Node)
		}
	})
}

// lossless checks that no connection failed while the way to an address changed so many
// times.
func lossless(t *testing.T, c scenario.Connections, changes int) {
	t.Helper()
	t.Logf("%d connections, %d failed, %d cut, longest gap %d ms", c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds())
	if c.Failed > 0 || c.Cut > changes {
		t.Errorf("of %d connections %d failed, and %d were cut by %d changes of the way: %v", c.Tried, c.Failed, c.Cut, changes, c.Why)
	}
}

func TestAPIServerAwayStopsNeitherTrafficNorFailover(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	away(t)
	_, err = bed.Page(background(t), address)
	must(t, err)
	must(t, bed.Cluster.Link(owner.Node, false))
	t.Cleanup(func() { must(t, bed.Cluster.Link(owner.Node, true)) })
	servedByAnother(t, address, owner)
}

func TestSpeakersThatStartWhileTheAPIServerIsAwayWorkWithWhatTheNodesKept(t *testing.T) {
	installed(t)
	address := served(t)
	_, err := bed.Settled(background(t), address)
	must(t, err)
	away(t)
	for _, node := range bed.Cluster.Nodes() {
		_, err := bed.Cluster.Exec(background(t), node, "pkill", "-KILL", "-x", "speaker")
		must(t, err)
	}
	// The client must ask anew: nobody answers but a speaker that has started.
	eventually.Succeed(t, within, "a speaker that started anew answers", func(ctx context.Context) error {
		if _, err := bed.Cluster.Exec(ctx, "client", "ip", "neighbour", "flush", "to", address); err != nil {
			return err
		}
		out, err := bed.Cluster.Exec(ctx, "client", "arping", "-c", "1", "-w", "1", "-i", "eth0", address)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	_, err = bed.Page(background(t), address)
	must(t, err)
}

// away stops the API server until the test ends.
func away(t *testing.T) {
	t.Helper()
	must(t, bed.Cluster.StopControlPlane("kube-apiserver"))
	t.Cleanup(func() {
		must(t, bed.Cluster.StartControlPlane("kube-apiserver"))
		must(t, bed.StackReady(background(t)))
	})
}

// servedByAnother waits until the client is served from another node. The API
// server is not asked.
func servedByAnother(t *testing.T, address string, owner scenario.Owner) {
	t.Helper()
	eventually.Succeed(t, within, "another node serves the address", func(ctx context.Context) error {
		if _, err := bed.Page(ctx, address); err != nil {
			return err
		}
		out, err := bed.Cluster.Exec(ctx, "client", "ip", "neighbour", "show", "to", address)
		if err == nil && strings.Contains(string(out), owner.MAC) {
			err = fmt.Errorf("the client still sends to %s: %s", owner.Node, out)
		}
		return err
	})
}

func TestPartition(t *testing.T) {
	t.Run("a node that is apart gives up what the others take, and they serve", func(t *testing.T) {
		installed(t)
		address := served(t)
		owner, err := bed.Settled(background(t), address)
		must(t, err)
		partition(t, []string{owner.Node}, except(bed.Cluster.Nodes(), owner.Node))
		servedByAnother(t, address, owner)
		eventually.Succeed(t, within, "the node says that it is in a minority, and has no address", func(ctx context.Context) error {
			state, err := stateOf(ctx, owner.Node)
			if err == nil && len(state.Status.Addresses) > 0 {
				err = fmt.Errorf("it lists %v", state.Status.Addresses)
			}
			if err == nil {
				err = speakerSays(ctx, owner.Node, v1beta1.ReasonMinority)
			}
			return err
		})
		must(t, bed.Heal(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
		now, err := bed.Settled(background(t), address)
		must(t, err)
		if now.Node == owner.Node {
			t.Errorf("%s took %s back", owner.Node, address)
		}
	})
	t.Run("two halves that cannot talk have one owner on their common segment", func(t *testing.T) {
		nodes := bed.Cluster.Nodes()
		if len(nodes) < 4 {
			t.Fatalf("the bed has %d nodes, two halves that go on need 4", len(nodes))
		}
		installed(t)
		address := served(t)
		owner, err := bed.Settled(background(t), address)
		must(t, err)
		partition(t, nodes[:2], nodes[2:])
		for _, node := range nodes {
			eventually.Succeed(t, within, node+" says that it is in a minority", func(ctx context.Context) error { return speakerSays(ctx, node, v1beta1.ReasonMinority) })
		}
		eventually.Stays(t, 5*time.Second, "there is one owner", func(ctx context.Context) error { return owners(ctx, address, 1) })
		must(t, bed.Heal(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
		now, err := bed.Settled(background(t), address)
		must(t, err)
		if now.Node != owner.Node {
			t.Errorf("%s moved from %s to %s", address, owner.Node, now.Node)
		}
		_, err = bed.Page(background(t), address)
		must(t, err)
	})
}

func partition(t *testing.T, groups ...[]string) {
	t.Helper()
	t.Cleanup(func() { must(t, bed.Heal(background(t))) })
	must(t, bed.Partition(background(t), groups...))
}

// owners says whether so many nodes say that they own an address.
func owners(ctx context.Context, address string, want int) error {
	var names []string
	for _, node := range bed.Cluster.Nodes() {
		state, err := stateOf(ctx, node)
		if err != nil {
			return err
		}
		for _, a := range state.Status.Addresses {
			if a.Address == address {
				names = append(names, node)
			}
		}
	}
	if len(names) != want {
		return fmt.Errorf("%v say that they own %s, want %d", names, address, want)
	}
	return nil
}

func except(nodes []string, without string) (rest []string) {
	for _, n := range nodes {
		if n != without {
			rest = append(rest, n)
		}
	}
	return rest
}
