package integration

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// meshKeys waits until the Secret has keys of these names, and returns it.
func (b *operatorBed) meshKeys(names ...string) *corev1.Secret {
	b.Helper()
	secret := meshKeySecret()
	eventually.Succeed(b.T, within, fmt.Sprintf("the Secret has %v", names), func(ctx context.Context) error {
		secret = meshKeySecret()
		if err := b.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return err
		}
		var got []string
		for name, key := range secret.Data {
			got = append(got, name)
			if len(key) != 32 {
				return fmt.Errorf("%s has %d bytes", name, len(key))
			}
		}
		if slices.Sort(got); !slices.Equal(got, names) {
			return fmt.Errorf("it has %v", got)
		}
		return nil
	})
	return secret
}

// keyRotation waits until the condition has a reason, empty for none, and returns its message.
func (b *operatorBed) keyRotation(reason string) (message string) {
	b.Helper()
	eventually.Succeed(b.T, within, "the condition KeyRotation has the reason "+reason, func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		c := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionKeyRotation)
		if (c == nil) != (reason == "") || (c != nil && (c.Reason != reason || c.Status != metav1.ConditionTrue)) {
			return fmt.Errorf("%s", conditions(stack))
		}
		if c != nil {
			message = c.Message
		}
		return nil
	})
	return message
}

func TestStack_MeshKeyIsRotated(t *testing.T) {
	b := newReadyBed(t)
	b.node("keyed")
	b.speakerOn("keyed")
	before := speakerDaemonSet()
	b.exists(before)
	first := b.meshKeys("key-1")
	b.keyRotation("")
	request := func(text string) {
		t.Helper()
		b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Speaker.KeyRotation = text })
	}
	// addedAgo has the newest key be older than it is.
	addedAgo := func(age time.Duration) {
		t.Helper()
		b.patch(meshKeySecret(), fmt.Sprintf(`{"metadata":{"annotations":{"lbstack.io/key-since":%q}}}`, time.Now().Add(-age).UTC().Format(time.RFC3339)))
	}

	request("2026-11")
	second := b.meshKeys("key-1", "key-2")
	if !bytes.Equal(second.Data["key-1"], first.Data["key-1"]) || bytes.Equal(second.Data["key-2"], first.Data["key-1"]) {
		t.Error("want the former key to stay, and another one next to it")
	}
	message := b.keyRotation(v1beta1.ReasonKeyRotating)
	rest, isNamed := strings.CutPrefix(message, "the speakers on keyed do not accept the new key ")
	newest, _, _ := strings.Cut(rest, " ")
	if !isNamed || len(newest) != 8 {
		t.Fatalf("got %q, want it to name the node and the key", message)
	}
	addedAgo(10 * time.Minute)
	b.keyRotation(v1beta1.ReasonKeyNotAccepted)

	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "keyed"}}
	create(t, b.Client, state)
	accepts := func(keys ...string) {
		t.Helper()
		state.Status.Phase, state.Status.MeshKeys = v1beta1.SpeakerActive, keys
		if err := b.Status().Update(context.Background(), state); err != nil {
			t.Fatal(err)
		}
	}
	accepts("00000000")
	eventually.Stays(t, 2*time.Second, "the former key stays for a speaker that does not accept the new one", func(ctx context.Context) error {
		now := meshKeySecret()
		if err := b.Get(ctx, client.ObjectKeyFromObject(now), now); err != nil || len(now.Data) != 2 {
			return fmt.Errorf("it has %d keys (%w)", len(now.Data), err)
		}
		return nil
	})
	accepts(newest, "00000000")
	if third := b.meshKeys("key-2"); !bytes.Equal(third.Data["key-2"], second.Data["key-2"]) {
		t.Error("the new key is another one now")
	}
	b.keyRotation("")

	request("2026-12")
	b.meshKeys("key-2", "key-3")
	addedAgo(2 * time.Hour) // longer than the older key stays
	b.meshKeys("key-3")
	b.keyRotation(v1beta1.ReasonKeyNotAccepted)
	request("")
	eventually.Stays(t, 2*time.Second, "a request that is taken back asks for nothing", func(ctx context.Context) error {
		now := meshKeySecret()
		if err := b.Get(ctx, client.ObjectKeyFromObject(now), now); err != nil || len(now.Data) != 1 {
			return fmt.Errorf("it has %d keys (%w)", len(now.Data), err)
		}
		return nil
	})
	after := speakerDaemonSet()
	b.exists(after)
	if diff := cmp.Diff(before.Spec.Template, after.Spec.Template); diff != "" {
		t.Errorf("keys restart the speakers (-before +after):\n%s", diff)
	}
}

func TestStack_MeshKeySecretIsRepaired(t *testing.T) {
	b := newReadyBed(t)
	first := b.meshKeys("key-1")
	t.Run("deleted Secret comes back with a new key", func(t *testing.T) {
		for range 10 {
			remove(t, b.Client, meshKeySecret())
			now := b.meshKeys("key-1")
			if bytes.Equal(now.Data["key-1"], first.Data["key-1"]) {
				t.Fatal("the former key came back")
			}
			first = now
		}
	})
	t.Run("damaged entry goes, the valid one stays, an event names it", func(t *testing.T) {
		valid := b.meshKeys("key-1").Data["key-1"]
		b.patch(meshKeySecret(), `{"data":{"key-7":"eA==","note":"eA=="}}`)
		if now := b.meshKeys("key-1"); !bytes.Equal(now.Data["key-1"], valid) {
			t.Error("the valid key is another one now")
		}
		eventually.Succeed(t, within, "an event names the entry", func(ctx context.Context) error {
			var list corev1.EventList
			if err := b.List(ctx, &list); err != nil {
				return err
			}
			for i := range list.Items {
				if e := &list.Items[i]; e.Reason == v1beta1.ReasonMeshKeyInvalid && strings.Contains(e.Message, `the entry "key-7": it has 1 bytes`) {
					return nil
				}
			}
			return fmt.Errorf("there is none among %d", len(list.Items))
		})
	})
	t.Run("damaged key that was the only one is replaced", func(t *testing.T) {
		b.patch(meshKeySecret(), `{"data":{"key-1":"eA=="}}`)
		b.meshKeys("key-2")
	})
	t.Run("key edited by hand stays as it is", func(t *testing.T) {
		const text = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
		b.patch(meshKeySecret(), `{"data":{"key-2":"`+text+`"}}`)
		eventually.Stays(t, 2*time.Second, "it is what was written", func(ctx context.Context) error {
			now := meshKeySecret()
			if err := b.Get(ctx, client.ObjectKeyFromObject(now), now); err != nil || string(now.Data["key-2"]) != "0123456789abcdef0123456789abcdef" {
				return fmt.Errorf("it is not (%w)", err)
			}
			return nil
		})
	})
}
