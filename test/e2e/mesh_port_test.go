package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// Speakers with the former port and those with the new one do not receive each other's messages.
func TestChangedPortOfTheMeshLosesNoConnection(t *testing.T) {
	for _, step := range []struct{ name, port, argument string }{
		{"to another", "7600", "--mesh-port=7600"},
		{"back to the default", "null", "--mesh-port=7575"},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					patchStack(t, `{"spec":{"speaker":{"ports":{"mesh":null}}}}`)
				}
			})
			address, before, w := underTraffic(t, len(bed.Cluster.Nodes()), func(ctx context.Context) error {
				stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
				if err := patch(ctx, stack, `{"spec":{"speaker":{"ports":{"mesh":`+step.port+`}}}}`); err != nil {
					return err
				}
				return allSpeakersHave(ctx, step.argument)
			})
			t.Logf("%s answered first, and then: %+v", before.MAC, w.All(address))
		})
	}
}

// allSpeakersHave waits until the speakers of all nodes have an argument, and receive from each other.
func allSpeakersHave(ctx context.Context, argument string) error {
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
			return err
		}
		for i := range pods.Items {
			if p := &pods.Items[i]; !slices.Contains(p.Spec.Containers[0].Args, argument) {
				return fmt.Errorf("the speaker on %s is the former one", p.Spec.NodeName)
			}
		}
		if want := len(bed.Cluster.Nodes()); len(pods.Items) != want {
			return fmt.Errorf("there are %d speakers, want %d", len(pods.Items), want)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return bed.EveryoneSeesEveryone(ctx)
}
