package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/test/eventually"
)

// A machine breaks, and another machine replaces it under the same name, with a new Node, disk and
// network card. The states of the former speaker do not hinder the new one.
func TestNodeReplacedUnderItsNameServes(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	name := owner.Node
	w := watching(t, address)
	t.Cleanup(func() {
		must(t, bed.Cluster.Start(background(t), name))
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	lost := time.Now()
	must(t, bed.Cluster.Kill(name))
	takenOver(t, w, address, lost, owner.MAC, failover)

	replaceNode(t, name)
	const mac = "02:00:00:00:00:99"
	must(t, startWith(t, name, mac))
	must(t, bed.StackReady(background(t)))
	must(t, bed.EveryoneSeesEveryone(background(t)))
	now, err := bed.Settled(background(t), address)
	must(t, err)
	if now.Node == name {
		t.Errorf("%s took %s back", name, address)
	}
	others := except(bed.Cluster.Nodes(), name)
	drain := func(drained bool) {
		for _, node := range others {
			must(t, bed.Drain(background(t), node, drained))
		}
	}
	t.Cleanup(func() { drain(false) })
	c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
		drain(true)
		return eventually.Poll(ctx, func(ctx context.Context) error {
			if now, err := bed.Settled(ctx, address); err != nil || now.Node != name || now.MAC != mac {
				return fmt.Errorf("%+v (%w) owns %s, want %s with the MAC %s", now, err, address, name, mac)
			}
			return nil
		})
	})
	must(t, err)
	lossless(t, c, 1)
	notBoth(t, w, address, together)
}

// replaceNode replaces a node that is off by another machine: the Node is deleted and made anew, and
// the files of the speaker and the kubelet are deleted.
func replaceNode(t *testing.T, name string) {
	t.Helper()
	former := &corev1.Node{}
	must(t, bed.Client.Get(background(t), client.ObjectKey{Name: name}, former))
	next := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: former.Spec.PodCIDR, PodCIDRs: former.Spec.PodCIDRs}}
	must(t, bed.Client.Delete(background(t), former))
	gone(t, former)
	for _, folder := range []string{"lib/lbstack", "lib/kubelet"} {
		must(t, os.RemoveAll(filepath.Join(bed.Cluster.Dir(), "hosts", name, "disk", folder)))
	}
	must(t, bed.Client.Create(background(t), next))
}

// startWith switches a node on with another network card.
func startWith(t *testing.T, name, mac string) error {
	t.Helper()
	ctx := background(t)
	changed := make(chan error, 1)
	go func() {
		changed <- eventually.Poll(ctx, func(ctx context.Context) error {
			_, err := bed.Cluster.Exec(ctx, name, "ip", "link", "set", "eth0", "address", mac)
			return err
		})
	}()
	if err := bed.Cluster.Start(ctx, name); err != nil {
		return err
	}
	return <-changed
}
