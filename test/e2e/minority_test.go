package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// answeredBy returns the hardware addresses that answer a client's request for an address.
func answeredBy(ctx context.Context, address string) (string, error) {
	if _, err := bed.Cluster.Exec(ctx, "client", "ip", "neighbour", "flush", "to", address); err != nil {
		return "", err
	}
	out, err := bed.Cluster.Exec(ctx, "client", "arping", "-c", "1", "-w", "1", "-i", "eth0", address)
	if err != nil {
		return "", fmt.Errorf("asking for %s: %w: %s", address, err, out)
	}
	return string(out), nil
}

func TestLastNodeTakesAllAddressesWithoutTheAPIServer(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	w := watching(t, address)
	away(t)
	left := except(bed.Cluster.Nodes(), owner.Node)[0]
	lost := except(bed.Cluster.Nodes(), left)
	t.Cleanup(func() {
		for _, node := range lost {
			must(t, bed.Cluster.SetLink(node, true))
		}
	})
	at := time.Now()
	for _, node := range lost {
		must(t, bed.Cluster.SetLink(node, false))
	}
	takenOver(t, w, address, at, owner.MAC, failover)
	t.Logf("%s is what is left of %d nodes", left, len(lost)+1)
}

// The speaker has no checkpoint, so that it has never received from another speaker.
func TestSpeakerThatNoOtherReachesTakesNothing(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	w := watching(t, address)
	apart := except(bed.Cluster.Nodes(), owner.Node)[0]
	rules := "table inet firewall { chain in { type filter hook input priority 0; meta l4proto { tcp, udp } th dport 7575 drop; }; chain out { type filter hook output priority 0; meta l4proto { tcp, udp } th dport 7575 drop; }; }"
	out, err := bed.Cluster.Exec(background(t), apart, "nft", rules)
	if err != nil {
		t.Fatalf("filtering the mesh on %s: %v: %s", apart, err, out)
	}
	t.Cleanup(func() { must(t, bed.LetDatagramsThrough(background(t), apart)) })
	_, err = bed.Cluster.Exec(background(t), apart, "sh", "-c", "pkill -KILL -x speaker; rm -rf /var/lib/lbstack/speaker/*")
	must(t, err)
	eventually.Succeed(t, within, "the starting speaker reports that it is in a minority", func(ctx context.Context) error {
		return speakerReports(ctx, apart, v1beta1.ReasonMinority)
	})
	eventually.Stays(t, 10*time.Second, "one node reports that it owns the address", func(ctx context.Context) error { return owners(ctx, address, 1) })
	_, err = bed.Page(background(t), address) // the client forgot the address
	must(t, err)
	must(t, bed.LetDatagramsThrough(background(t), apart))
	eventually.Succeed(t, within, "the speaker receives from the others", func(ctx context.Context) error {
		return speakerReports(ctx, apart, v1beta1.ReasonAnnouncing)
	})
	now, err := bed.Settled(background(t), address)
	must(t, err)
	if now.Node != owner.Node {
		t.Errorf("the address moved from %s to %s", owner.Node, now.Node)
	}
	onlyAnswers(t, w, address, owner.MAC)
}
