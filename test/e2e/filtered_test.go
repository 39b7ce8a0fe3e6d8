package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

func TestFirewallBetweenTwoSpeakersMovesNothing(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	other := except(bed.Cluster.Nodes(), owner.Node)[0]
	t.Cleanup(func() { must(t, bed.LetDatagramsThrough(background(t), owner.Node)) })
	c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
		if err := bed.DropDatagrams(ctx, owner.Node, other); err != nil {
			return err
		}
		return eventually.Poll(ctx, func(ctx context.Context) error {
			return errors.Join(speakerReports(ctx, owner.Node, v1beta1.ReasonDatagramsLost), speakerReports(ctx, other, v1beta1.ReasonDatagramsLost))
		})
	})
	must(t, err)
	lossless(t, c, 0)
	now, err := bed.Settled(background(t), address)
	must(t, err)
	if now.Node != owner.Node {
		t.Errorf("the address moved from %s to %s", owner.Node, now.Node)
	}
	// The others still find the node dead.
	t.Cleanup(func() { must(t, bed.Cluster.SetLink(owner.Node, true)) })
	must(t, bed.Cluster.SetLink(owner.Node, false))
	servedByAnother(t, address, owner)
	must(t, bed.Cluster.SetLink(owner.Node, true))
	allAnnounceAfterFirewall(t, owner.Node)
}

func TestFirewallAroundASpeakerLeavesOneOwner(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	t.Cleanup(func() { must(t, bed.LetDatagramsThrough(background(t), owner.Node)) })
	w := watching(t, address)
	c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
		if err := bed.DropDatagrams(ctx, owner.Node); err != nil {
			return err
		}
		return eventually.Poll(ctx, func(ctx context.Context) error {
			return speakerReports(ctx, owner.Node, v1beta1.ReasonMinority)
		})
	})
	must(t, err)
	lossless(t, c, 0)
	eventually.Succeed(t, within, "one node announces the address", func(ctx context.Context) error {
		return owners(ctx, address, 1)
	})
	eventually.Stays(t, 5*time.Second, "one node announces the address", func(ctx context.Context) error {
		return owners(ctx, address, 1)
	})
	servedByAnother(t, address, owner)
	allAnnounceAfterFirewall(t, owner.Node)
	notBoth(t, w, address, together)
}

// allAnnounceAfterFirewall removes the firewall of a node, after which all speakers receive
// from each other.
func allAnnounceAfterFirewall(t *testing.T, filtered string) {
	t.Helper()
	must(t, bed.LetDatagramsThrough(background(t), filtered))
	for _, node := range bed.Cluster.Nodes() {
		eventually.Succeed(t, within, node+" receives from the others again", func(ctx context.Context) error {
			return speakerReports(ctx, node, v1beta1.ReasonAnnouncing)
		})
	}
}

// speakerReports returns an error unless the condition Ready of a speaker has the reason.
func speakerReports(ctx context.Context, node, reason string) error {
	state, err := stateOf(ctx, node)
	if err != nil {
		return err
	}
	if ready := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionReady); ready == nil || ready.Reason != reason {
		return fmt.Errorf("the speaker of %s reports %+v, want the reason %s", node, ready, reason)
	}
	return nil
}

// The node of the owner receives from the others and cannot send to them: the others confirm it dead and
// take its addresses over, and it stops announcing.
func TestSpeakerThatNoPeerReceivesFromStopsAnnouncing(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	w := watching(t, address)
	t.Cleanup(func() { must(t, bed.LetDatagramsThrough(background(t), owner.Node)) })
	filtered := time.Now()
	must(t, bed.DropSent(background(t), owner.Node))
	takenOver(t, w, address, filtered, owner.MAC, failover)
	others := except(bed.Cluster.Nodes(), owner.Node)
	eventually.Succeed(t, within, "the speaker reports that it is isolated, and which nodes receive nothing from it", func(ctx context.Context) error {
		state, err := stateOf(ctx, owner.Node)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Reason != v1beta1.ReasonIsolated || !strings.HasPrefix(ready.Message, "nothing that the speaker sends arrives at") {
			return fmt.Errorf("%+v", ready)
		}
		for _, node := range others {
			if !strings.Contains(ready.Message, node) {
				return fmt.Errorf("the message does not name %s: %s", node, ready.Message)
			}
		}
		return nil
	})
	eventually.Succeed(t, within, "one node announces the address", func(ctx context.Context) error { return owners(ctx, address, 1) })
	t.Log(announced(t, scenario.SampleService, metav1.ConditionTrue, v1beta1.ReasonAnnounced))
	_, err = bed.Page(background(t), address)
	must(t, err)
	allAnnounceAfterFirewall(t, owner.Node)
	oneAnswers(t, w, address)
	notBoth(t, w, address, together)
}

// The network card of the owner sends and does not receive, so that its announcements would still reach
// all hosts. It gives its addresses up, and others take them over.
func TestNodeThatReceivesNothingStopsAnnouncing(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	w := watching(t, address)
	wire, err := bed.Listen()
	must(t, err)
	t.Cleanup(func() { must(t, wire.Close()) })
	before, err := givenUpIsolated(background(t), owner.Node, address)
	must(t, err)
	t.Cleanup(func() { must(t, bed.Receive(background(t), owner.Node)) })
	dropped := time.Now()
	must(t, bed.DropReceived(background(t), owner.Node, "eth0"))
	takenOver(t, w, address, dropped, owner.MAC, failover)
	eventually.Succeed(t, soon, "its speaker is isolated and gives the address up", func(ctx context.Context) error {
		if now, err := givenUpIsolated(ctx, owner.Node, address); err != nil || now == before {
			return errors.Join(err, errors.New("the log has no new line of that"))
		}
		return nil
	})
	silent := time.Now()
	_, err = bed.Page(background(t), address)
	must(t, err)
	eventually.Stays(t, settles, "it announces nothing", func(context.Context) error {
		if list := wire.Of(silent, owner.MAC); len(list) > 0 {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	must(t, bed.Receive(background(t), owner.Node))
	for _, node := range bed.Cluster.Nodes() {
		eventually.Succeed(t, within, node+" receives from the others again", func(ctx context.Context) error {
			return speakerReports(ctx, node, v1beta1.ReasonAnnouncing)
		})
	}
	oneAnswers(t, w, address)
	notBoth(t, w, address, together)
}

// givenUpIsolated returns how many times the speakers of a node have logged that they gave an address up while they
// were isolated.
func givenUpIsolated(ctx context.Context, node, address string) (n int, err error) {
	log, err := bed.Cluster.Exec(ctx, node, "sh", "-c", "cat /var/log/pods/*_lbstack-speaker-*/*/*.log")
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "does not own an address any more") && strings.Contains(line, address) && strings.Contains(line, "solated") {
			n++
		}
	}
	return n, err
}
