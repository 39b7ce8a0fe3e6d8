package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// underTraffic makes a change of the mesh while a client connects and the segment is watched:
// no connection fails, and no two nodes answer for the address.
func underTraffic(t *testing.T, changes int, do func(ctx context.Context) error) (address string, before scenario.Owner, w *scenario.Watch) {
	t.Helper()
	installed(t)
	address = served(t)
	before, err := bed.Settled(background(t), address)
	must(t, err)
	w = watching(t, address)
	c, err := bed.Connecting(background(t), address+":80", do)
	must(t, err)
	lossless(t, c, changes)
	must(t, bed.EveryoneSeesEveryone(background(t)))
	oneAnswers(t, w, address)
	notBoth(t, w, address, together)
	return address, before, w
}

func TestRotatedKeyOfTheMeshMovesNothing(t *testing.T) {
	t.Cleanup(func() { patchStack(t, `{"spec":{"speaker":{"keyRotation":null}}}`) })
	address, owner, w := underTraffic(t, 0, func(ctx context.Context) error {
		former, err := keysOfSpeakers(ctx)
		if err != nil {
			return err
		}
		if err := patch(ctx, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}, fmt.Sprintf(`{"spec":{"speaker":{"keyRotation":%q}}}`, time.Now().Format("20060102-150405"))); err != nil {
			return err
		}
		if err := secretHasKeys(ctx, 2); err != nil {
			return err
		}
		if err := allAcceptNewKey(ctx, former); err != nil {
			return err
		}
		// The operator keeps the former key for a minute, for speakers that just start.
		key := meshKeys()
		if err := patch(ctx, key, fmt.Sprintf(`{"metadata":{"annotations":{"lbstack.io/key-since":%q}}}`, time.Now().Add(-10*time.Minute).UTC().Format(time.RFC3339))); err != nil {
			return err
		}
		if err := secretHasKeys(ctx, 1); err != nil {
			return err
		}
		return eventually.Poll(ctx, func(ctx context.Context) error {
			stack := &v1beta1.LoadBalancerStack{}
			if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
				return err
			}
			if c := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionKeyRotation); c != nil {
				return fmt.Errorf("the rotation goes on: %+v", c)
			}
			return nil
		})
	})
	onlyAnswers(t, w, address, owner.MAC)
}

func TestDeletedKeyOfTheMeshMovesNothing(t *testing.T) {
	address, owner, w := underTraffic(t, 0, func(ctx context.Context) error {
		former, err := keysOfSpeakers(ctx)
		if err != nil {
			return err
		}
		if err := bed.Client.Delete(ctx, meshKeys()); err != nil {
			return err
		}
		if err := secretHasKeys(ctx, 1); err != nil {
			return err
		}
		return allAcceptNewKey(ctx, former)
	})
	onlyAnswers(t, w, address, owner.MAC)
}

func meshKeys() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: componentNamespace, Name: manifests.MeshKeysSecretName}}
}

func patch(ctx context.Context, object client.Object, text string) error {
	if err := bed.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		return fmt.Errorf("changing %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

// secretHasKeys waits until the Secret has this number of keys.
func secretHasKeys(ctx context.Context, want int) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		secret := meshKeys()
		if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return err
		}
		if len(secret.Data) != want {
			return fmt.Errorf("the Secret has %d keys, want %d", len(secret.Data), want)
		}
		return nil
	})
}

// keysOfSpeakers returns the IDs of the keys that speakers accept.
func keysOfSpeakers(ctx context.Context) (ids []string, err error) {
	for _, node := range bed.Cluster.Nodes() {
		state, err := stateOf(ctx, node)
		if err != nil {
			return nil, err
		}
		ids = append(ids, state.Status.MeshKeys...)
	}
	return ids, nil
}

// allAcceptNewKey waits until every speaker has a key that no speaker had before.
func allAcceptNewKey(ctx context.Context, former []string) error {
	if err := hurryKubelets(ctx); err != nil {
		return err
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		for _, node := range bed.Cluster.Nodes() {
			state, err := stateOf(ctx, node)
			if err != nil {
				return err
			}
			isNew := func(id string) bool { return !slices.Contains(former, id) }
			if !slices.ContainsFunc(state.Status.MeshKeys, isNew) {
				return fmt.Errorf("%s accepts %v, all of which it did before", node, state.Status.MeshKeys)
			}
		}
		return nil
	})
}

// hurryKubelets changes the pods of the speakers: a kubelet then updates their volumes at once, and
// otherwise every minute or two.
func hurryKubelets(ctx context.Context) error {
	var pods corev1.PodList
	if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
		return fmt.Errorf("listing the speakers: %w", err)
	}
	for i := range pods.Items {
		if err := patch(ctx, &pods.Items[i], fmt.Sprintf(`{"metadata":{"annotations":{"lbstack.io/e2e":%q}}}`, time.Now().Format(time.RFC3339Nano))); err != nil {
			return err
		}
	}
	return nil
}
