package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/hack/devcluster/cluster"
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
			if f.TakenOver > soon || f.Gap > soon {
				t.Errorf("announced after %s, the client was without it for %s, want %s at most", f.TakenOver, f.Gap, soon)
			}
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

// lossless checks that no connection failed while the route to an address changed this number of
// times.
func lossless(t *testing.T, c scenario.Connections, changes int) {
	t.Helper()
	t.Logf("%d connections, %d failed, %d cut, longest gap %d ms", c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds())
	if c.Failed > 0 || c.Cut > changes {
		t.Errorf("of %d connections %d failed, and %d were cut by %d changes of the way, the first because of %q", c.Tried, c.Failed, c.Cut, changes, c.Why[:min(len(c.Why), 3)])
	}
}

func TestAPIServerAwayStopsNeitherTrafficNorFailover(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	w := watching(t, address)
	away(t)
	_, err = bed.Page(background(t), address)
	must(t, err)
	t.Cleanup(func() { must(t, bed.Cluster.SetLink(owner.Node, true)) })
	lost := time.Now()
	must(t, bed.Cluster.SetLink(owner.Node, false))
	takenOver(t, w, address, lost, owner.MAC, failover)
	servedByAnother(t, address, owner)
}

// startsAlone bounds the time that speakers take to serve without the API server: two seconds for the API server, two
// for the other speakers, and the rest for the machine.
const startsAlone = 10 * time.Second

// Every speaker ends at the same time, so that only the checkpoints of the nodes have the owners.
func TestAllSpeakersThatStartWithoutTheAPIServerServeEveryAddressOnce(t *testing.T) {
	installed(t)
	addresses := []string{served(t)}
	for _, name := range []string{"more-1", "more-2", "more-3"} {
		balancer(t, name)
		address, err := bed.Address(background(t), name)
		must(t, err)
		_, err = bed.Page(background(t), address)
		must(t, err)
		_, err = bed.Settled(background(t), address)
		must(t, err)
		addresses = append(addresses, address)
	}
	w := watching(t, addresses...)
	away(t)
	killed := time.Now()
	for _, node := range bed.Cluster.Nodes() {
		_, err := bed.Cluster.Exec(background(t), node, "pkill", "-KILL", "-x", "speaker")
		must(t, err)
	}
	// A kubelet waits before it restarts a speaker that has ended before.
	for _, node := range bed.Cluster.Nodes() {
		eventually.Succeed(t, within, "a speaker runs on "+node, func(ctx context.Context) error {
			_, err := bed.Cluster.Exec(ctx, node, "pgrep", "-x", "speaker")
			return err
		})
	}
	ran := time.Since(killed)
	t.Logf("all speakers ran again %s after they were killed", ran.Round(time.Millisecond))
	for _, address := range addresses {
		oneAnswers(t, w, address)
		silentAtMost(t, w, address, killed, ran+startsAlone)
		notBoth(t, w, address, together)
	}
	_, err := bed.Page(background(t), addresses[0])
	must(t, err)
}

// away stops the API server until the test ends.
func away(t *testing.T) {
	t.Helper()
	must(t, bed.Cluster.StopControlPlaneProgram("kube-apiserver"))
	t.Cleanup(func() {
		must(t, bed.Cluster.StartControlPlaneProgram("kube-apiserver"))
		// A running kube-proxy waits for up to half a minute before it lists the endpoints again.
		for _, node := range bed.Cluster.Nodes() {
			err := bed.Cluster.StopProgram(node, "kube-proxy")
			if errors.Is(err, cluster.ErrPoweredOff) {
				continue
			}
			must(t, err)
			must(t, bed.Cluster.StartProgram(node, "kube-proxy"))
		}
		must(t, bed.StackReady(background(t)))
		controllerWatches(t)
		nodesReach(t)
	})
}

// nodesReach waits until the Service kubernetes works on each node: a kube-proxy can wait for a
// while before it lists the endpoints of the API server, and speakers reach the API server through them.
func nodesReach(t *testing.T) {
	t.Helper()
	begun := time.Now()
	var service corev1.Service
	must(t, bed.Client.Get(background(t), types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}, &service))
	for _, node := range bed.Cluster.Nodes() {
		eventually.Succeed(t, within, node+" reaches the API server", func(ctx context.Context) error {
			_, err := bed.Cluster.Exec(ctx, node, "timeout", "1", "bash", "-c", "</dev/tcp/"+service.Spec.ClusterIP+"/443")
			if errors.Is(err, cluster.ErrPoweredOff) {
				return nil
			}
			return err
		})
	}
	t.Logf("all nodes reach the API server after %d ms", time.Since(begun).Milliseconds())
}

// controllerWatches waits until the controller acts on a change of a SpeakerState: an informer
// can wait for some seconds after an API server answered that it does not have the kind yet.
func controllerWatches(t *testing.T) {
	t.Helper()
	begun := time.Now()
	conditions := func(ctx context.Context) (*v1beta1.SpeakerState, int, error) {
		state, err := stateOf(ctx, bed.Cluster.Nodes()[0])
		if err != nil {
			return nil, -1, err
		}
		at := slices.IndexFunc(state.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1beta1.ConditionPartitioned })
		return state, at, nil
	}
	eventually.Succeed(t, within, "the condition Partitioned is removed", func(ctx context.Context) error {
		state, at, err := conditions(ctx)
		if err != nil || at < 0 {
			return err
		}
		state.Status.Conditions = slices.Delete(state.Status.Conditions, at, at+1)
		return bed.Client.Status().Update(ctx, state)
	})
	eventually.Succeed(t, within, "the controller sets it again", func(ctx context.Context) error {
		_, at, err := conditions(ctx)
		if err == nil && at < 0 {
			err = fmt.Errorf("there is no condition %s", v1beta1.ConditionPartitioned)
		}
		return err
	})
	t.Logf("the controller acted on a change of a SpeakerState after %d ms", time.Since(begun).Milliseconds())
}

// servedByAnother waits until another node serves the client, without a request to the API
// server.
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
		w := watching(t, address)
		partition(t, []string{owner.Node}, except(bed.Cluster.Nodes(), owner.Node))
		servedByAnother(t, address, owner)
		cut := time.Now()
		eventually.Succeed(t, within, "the node gives the address up", func(ctx context.Context) error { return gaveUp(ctx, owner.Node) })
		t.Logf("%s gave the address up %s after the client was served from another node", owner.Node, time.Since(cut).Round(time.Millisecond))
		eventually.Stays(t, 5*time.Second, "one node answers, another than before", func(ctx context.Context) error {
			answers, err := answeredBy(ctx, address)
			if err == nil && strings.Contains(answers, owner.MAC) {
				err = fmt.Errorf("%s still answers: %s", owner.Node, answers)
			}
			if err == nil {
				err = owners(ctx, address, 1)
			}
			return err
		})
		must(t, bed.Heal(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
		_, err = bed.Page(background(t), address) // the client forgot the address
		must(t, err)
		now, err := bed.Settled(background(t), address)
		must(t, err)
		if now.Node == owner.Node {
			t.Errorf("%s took %s back", owner.Node, address)
		}
		notBoth(t, w, address, divided)
	})
	t.Run("of two halves that are cut from each other one serves, and goes on when they are joined", func(t *testing.T) {
		nodes := bed.Cluster.Nodes()
		if len(nodes) < 4 {
			t.Fatalf("the bed has %d nodes, two halves that go on need 4", len(nodes))
		}
		installed(t)
		address := served(t)
		_, err := bed.Settled(background(t), address)
		must(t, err)
		w := watching(t, address)
		partition(t, nodes[:2], nodes[2:])
		for _, node := range nodes {
			eventually.Succeed(t, within, node+" reports that it is in a minority", func(ctx context.Context) error { return speakerReports(ctx, node, v1beta1.ReasonMinority) })
		}
		// Of two halves, the half that has the node with the first name goes on.
		for _, node := range nodes[2:] {
			eventually.Succeed(t, within, node+" gives its addresses up", func(ctx context.Context) error { return gaveUp(ctx, node) })
		}
		eventually.Succeed(t, within, "there is one owner", func(ctx context.Context) error { return owners(ctx, address, 1) })
		eventually.Stays(t, 5*time.Second, "there is one owner", func(ctx context.Context) error { return owners(ctx, address, 1) })
		during, err := ownersOf(background(t), address)
		must(t, err)
		_, err = bed.Page(background(t), address)
		must(t, err)
		must(t, bed.Heal(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
		now, err := bed.Settled(background(t), address)
		must(t, err)
		if !slices.Equal(during, []string{now.Node}) {
			t.Errorf("%s moved from %v to %s", address, during, now.Node)
		}
		notBoth(t, w, address, divided)
		_, err = bed.Page(background(t), address)
		must(t, err)
	})
}

// gaveUp returns whether a speaker reports that it gives up what a larger group may announce, and has
// nothing.
func gaveUp(ctx context.Context, node string) error {
	state, err := stateOf(ctx, node)
	if err != nil {
		return err
	}
	ready := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionReady)
	if ready == nil || !strings.Contains(ready.Message, "a larger group") || len(state.Status.Addresses) > 0 {
		return fmt.Errorf("its condition is %+v, and it lists %v", ready, state.Status.Addresses)
	}
	return nil
}

func partition(t *testing.T, groups ...[]string) {
	t.Helper()
	t.Cleanup(func() { must(t, bed.Heal(background(t))) })
	must(t, bed.Partition(background(t), groups...))
}

// owners returns an error unless this number of nodes report that they own an address.
func owners(ctx context.Context, address string, want int) error {
	names, err := ownersOf(ctx, address)
	if err == nil && len(names) != want {
		err = fmt.Errorf("%v report that they own %s, want %d", names, address, want)
	}
	return err
}

// ownersOf returns the nodes that report that they own an address.
func ownersOf(ctx context.Context, address string) (names []string, err error) {
	for _, node := range bed.Cluster.Nodes() {
		state, err := stateOf(ctx, node)
		if err != nil {
			return nil, err
		}
		for _, a := range state.Status.Addresses {
			if a.Address == address {
				names = append(names, node)
			}
		}
	}
	return names, nil
}

func except(nodes []string, without string) (rest []string) {
	for _, n := range nodes {
		if n != without {
			rest = append(rest, n)
		}
	}
	return rest
}
