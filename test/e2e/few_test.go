package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// speakersOn runs speakers on some nodes alone until the test ends. Their mesh is as in a
// cluster without other nodes.
func speakersOn(t *testing.T, nodes ...string) {
	t.Helper()
	const label = "lbstack.io/e2e"
	mark := func(node, value string) {
		t.Helper()
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
		must(t, bed.Client.Patch(background(t), object, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, label, value))))
	}
	t.Cleanup(func() {
		patchStack(t, `{"spec":{"speaker":{"nodeSelector":null}}}`)
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
		for _, node := range nodes {
			mark(node, "null")
		}
	})
	for _, node := range nodes {
		mark(node, `"speaker"`)
	}
	patchStack(t, fmt.Sprintf(`{"spec":{"speaker":{"nodeSelector":{%q:"speaker"}}}}`, label))
	must(t, bed.StackReady(background(t)))
	theyAnnounce(t, nodes...)
}

// theyAnnounce waits until exactly these nodes run a speaker, and each speaker receives from all others.
func theyAnnounce(t *testing.T, nodes ...string) {
	t.Helper()
	eventually.Succeed(t, within, fmt.Sprintf("%v are all that run a speaker", nodes), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
			return err
		}
		for i := range pods.Items {
			if on := pods.Items[i].Spec.NodeName; !slices.Contains(nodes, on) {
				return fmt.Errorf("%s runs a speaker", on)
			}
		}
		for _, node := range nodes {
			state, err := stateOf(ctx, node)
			if err != nil {
				return err
			}
			if err := speakerReports(ctx, node, v1beta1.ReasonAnnouncing); err != nil || int(state.Status.LiveSpeakers) != len(nodes) {
				return errors.Join(fmt.Errorf("%s receives from %d of %d", node, state.Status.LiveSpeakers, len(nodes)), err)
			}
		}
		return nil
	})
}

// A single speaker has no peers to compare with.
func TestOneSpeakerServes(t *testing.T) {
	installed(t)
	address := served(t)
	node := bed.Cluster.Nodes()[0]
	speakersOn(t, node)
	_, err := bed.Page(background(t), address)
	must(t, err)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	w := watching(t, address)
	t.Run("after its pod was replaced", func(t *testing.T) {
		begun := time.Now()
		c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
			return bed.ReplaceSpeaker(ctx, node)
		})
		must(t, err)
		lossless(t, c, 0)
		answersFrom(t, w, address, begun, owner.MAC, within) // most of this time is the kubelet's
	})
	t.Run("after it was killed while the API server is away", func(t *testing.T) {
		away(t)
		killed := processOf(t, node)
		_, err := bed.Cluster.Exec(background(t), node, "pkill", "-KILL", "-x", "speaker")
		must(t, err)
		answersFrom(t, w, address, anotherProcess(t, node, killed), owner.MAC, soon)
	})
}

// anotherProcess waits until another process than the one with an ID runs, and returns when it
// started, so that a test can leave out the time of the kubelet.
func anotherProcess(t *testing.T, node, before string) time.Time {
	t.Helper()
	eventually.Succeed(t, within, "another process runs", func(ctx context.Context) error {
		now, err := bed.Cluster.Exec(ctx, node, "pgrep", "-x", "speaker")
		if err == nil && string(now) == before {
			err = errors.New("it is the one before")
		}
		return err
	})
	return time.Now()
}

// processOf returns the ID of a speaker's process.
func processOf(t *testing.T, node string) string {
	t.Helper()
	id, err := bed.Cluster.Exec(background(t), node, "pgrep", "-x", "speaker")
	must(t, err)
	return string(id)
}

// signalSpeaker sends a signal to the speaker of a node.
func signalSpeaker(t *testing.T, node, signal string) {
	t.Helper()
	_, err := bed.Cluster.Exec(context.Background(), node, "pkill", "-"+signal, "-x", "speaker")
	must(t, err)
}

// Of two speakers that miss each other, neither is in the majority.
func TestOfTwoSpeakersTheOtherServes(t *testing.T) {
	nodes := bed.Cluster.Nodes()[:2]
	begin := func(t *testing.T) (address, owner, other, mac string) {
		t.Helper()
		address = served(t)
		o, err := bed.Settled(background(t), address)
		must(t, err)
		return address, o.Node, except(nodes, o.Node)[0], o.MAC
	}
	installed(t)
	speakersOn(t, nodes...)
	for _, tt := range []struct {
		name string
		away bool
	}{{"the owner loses power", false}, {"the owner loses power while the API server is away", true}} {
		t.Run(tt.name, func(t *testing.T) {
			address, owner, _, mac := begin(t)
			w := watching(t, address)
			t.Cleanup(func() {
				must(t, bed.Cluster.Start(background(t), owner))
				theyAnnounce(t, nodes...)
			})
			if tt.away {
				away(t)
			}
			killed := time.Now()
			must(t, bed.Cluster.Kill(owner))
			takenOver(t, w, address, killed, mac, failover)
		})
	}
	t.Run("each misses the other on the network of the addresses too", func(t *testing.T) {
		address, _, _, _ := begin(t)
		w := watching(t, address)
		partition(t, nodes[:1], nodes[1:])
		for _, node := range nodes {
			eventually.Succeed(t, within, node+" reports that it is in a minority", func(ctx context.Context) error { return speakerReports(ctx, node, v1beta1.ReasonMinority) })
		}
		// The node with the first name goes on.
		eventually.Succeed(t, within, nodes[1]+" gives its addresses up", func(ctx context.Context) error { return gaveUp(ctx, nodes[1]) })
		oneAnswers(t, w, address)
		// Then this node is frozen. Its last report stays, and its kubelet gets no answer.
		first := w.All(address).Last
		stopped := time.Now()
		t.Cleanup(func() { signalSpeaker(t, nodes[0], "CONT") })
		signalSpeaker(t, nodes[0], "STOP")
		eventually.Succeed(t, within, nodes[1]+" has the address", func(context.Context) error {
			if got := w.Since(time.Now().Add(-settles/2), address); len(got.Owners) != 1 || got.Last == first {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
		t.Logf("nobody answered for %s for %d ms", address, w.Since(stopped, address).Silent.Milliseconds())
		must(t, bed.Heal(background(t)))
		signalSpeaker(t, nodes[0], "CONT")
		theyAnnounce(t, nodes...)
		oneAnswers(t, w, address)
		notBoth(t, w, address, soon)
	})
	t.Run("the network card of the owner sends and does not receive, and its pods answer it", func(t *testing.T) {
		address, owner, _, mac := begin(t)
		w := watching(t, address)
		t.Cleanup(func() {
			must(t, bed.Receive(background(t), owner))
			theyAnnounce(t, nodes...)
		})
		dropped := time.Now()
		must(t, bed.DropReceived(background(t), owner, "eth0"))
		takenOver(t, w, address, dropped, mac, lastOfTwo)
	})
	t.Run("the mesh alone is filtered between them", func(t *testing.T) {
		address, owner, other, mac := begin(t)
		w := watching(t, address)
		t.Cleanup(func() { must(t, bed.LetDatagramsThrough(background(t), owner)) })
		c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
			if err := bed.DropDatagrams(ctx, owner, other); err != nil {
				return err
			}
			return eventually.Poll(ctx, func(ctx context.Context) error {
				return errors.Join(speakerReports(ctx, owner, v1beta1.ReasonMinority), speakerReports(ctx, other, v1beta1.ReasonMinority))
			})
		})
		must(t, err)
		lossless(t, c, 0)
		must(t, bed.LetDatagramsThrough(background(t), owner))
		theyAnnounce(t, nodes...)
		oneAnswers(t, w, address)
		onlyAnswers(t, w, address, mac)
	})
}
