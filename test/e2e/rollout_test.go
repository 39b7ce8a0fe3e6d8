package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// rolls is how long a rollout on the cluster may take, a step that fails included.
const rolls = 5 * time.Minute

// rolledOut waits until a rollout of the spec as it is now is in a phase.
func rolledOut(ctx context.Context, phase v1beta1.RolloutPhase) (*v1beta1.LoadBalancerStack, error) {
	stack := &v1beta1.LoadBalancerStack{}
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		if stack.Status.Rollout == nil || stack.Status.ObservedGeneration != stack.Generation || stack.Status.Rollout.Phase != phase {
			return fmt.Errorf("the rollout is %+v", stack.Status.Rollout)
		}
		return nil
	})
	return stack, err
}

// changed waits until the phase is another one than Complete: a change was taken up.
func changed(ctx context.Context) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		if s := stack.Status.Rollout; s == nil || s.Phase == v1beta1.RolloutComplete || s.Phase == v1beta1.RolloutRolledBack {
			return fmt.Errorf("the rollout is %+v", s)
		}
		return nil
	})
}

// logLevels returns which log levels the speakers have, each once.
func logLevels(ctx context.Context) (list []string, err error) {
	var pods corev1.PodList
	if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
		return nil, err
	}
	for i := range pods.Items {
		list = append(list, strings.TrimPrefix(pods.Items[i].Spec.Containers[0].Args[0], "--log-level="))
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// operatorEnv sets an environment variable of the operator, and waits until no other one runs.
func operatorEnv(ctx context.Context, name, value string) error {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: componentNamespace, Name: "lbstack-operator"}}
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"operator","env":[{"name":%q,"value":%q}]}]}}}}`, name, value)
	if err := bed.Client.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		return err
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return err
		}
		if s := d.Status; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != s.Replicas || s.AvailableReplicas < s.Replicas {
			return fmt.Errorf("the operator: %+v", s)
		}
		return nil
	})
}

// image returns the image that the operator gives to the components.
func image(t *testing.T) string {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: componentNamespace, Name: "lbstack-operator"}}
	must(t, bed.Client.Get(background(t), client.ObjectKeyFromObject(d), d))
	for _, env := range d.Spec.Template.Spec.Containers[0].Env {
		if env.Name == "RELATED_IMAGE_LBSTACK" {
			return env.Value
		}
	}
	t.Fatal("the operator has no image for the components")
	return ""
}

// TestRollout_UnderTraffic changes the components while a client connects every 5 ms.
func TestRollout_UnderTraffic(t *testing.T) {
	installed(t)
	good := image(t)
	buildSilent(t)
	patchStack(t, `{"spec":{"speaker":{"rollout":{"stepTimeoutSeconds":60}}}}`)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), rolls)
		defer cancel()
		must(t, operatorEnv(ctx, "RELATED_IMAGE_LBSTACK", good))
		patchStack(t, `{"spec":{"patches":null,"speaker":{"logLevel":"Info","rollout":null}}}`)
		_, err := rolledOut(ctx, v1beta1.RolloutComplete)
		must(t, err)
		must(t, bed.StackReady(ctx))
		must(t, bed.EveryoneSeesEveryone(ctx))
	})
	address := served(t)
	for _, tt := range []struct {
		name   string
		change func(context.Context) error
		// phase in which the rollout ends, the log level of the speakers then, and a part of the message.
		phase        v1beta1.RolloutPhase
		level, words string
	}{
		{"a log level reaches all nodes", level("Debug"), v1beta1.RolloutComplete, "debug", ""},
		{"a log level reaches all nodes while the operator is killed", func(ctx context.Context) error {
			if err := level("Info")(ctx); err != nil {
				return err
			}
			if err := changed(ctx); err != nil {
				return err
			}
			crash(t, componentNamespace, "operator")
			return nil
		}, v1beta1.RolloutComplete, "info", ""},
		{"an image that does not exist is taken back", func(ctx context.Context) error {
			return operatorEnv(ctx, "RELATED_IMAGE_LBSTACK", "registry.invalid/lbstack:none")
		}, v1beta1.RolloutRolledBack, "info", "the image cannot be pulled"},
		{"the former image is wanted again", func(ctx context.Context) error {
			return operatorEnv(ctx, "RELATED_IMAGE_LBSTACK", good)
		}, v1beta1.RolloutComplete, "info", ""},
		{"a speaker that is ready and never announces is taken back", func(ctx context.Context) error {
			return operatorEnv(ctx, "RELATED_IMAGE_LBSTACK", silentImage)
		}, v1beta1.RolloutRolledBack, "info", "does not announce its addresses on the network"},
		{"the former image is wanted once more", func(ctx context.Context) error {
			return operatorEnv(ctx, "RELATED_IMAGE_LBSTACK", good)
		}, v1beta1.RolloutComplete, "info", ""},
		{"a speaker that crashes is taken back", func(ctx context.Context) error { return patchSpec(ctx, crashing) }, v1beta1.RolloutRolledBack, "info", "its speaker is not ready"},
		{"the patch is taken away", func(ctx context.Context) error { return patchSpec(ctx, `{"spec":{"patches":null}}`) }, v1beta1.RolloutComplete, "info", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), rolls)
			defer cancel()
			var stack *v1beta1.LoadBalancerStack
			begun := time.Now()
			before := &v1beta1.LoadBalancerStack{}
			must(t, bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, before))
			c, err := bed.Connecting(ctx, address+":80", func(ctx context.Context) (err error) {
				if err := tt.change(ctx); err != nil {
					return err
				}
				if before.Status.Rollout.Phase == tt.phase {
					if err := changed(ctx); err != nil {
						return err
					}
				}
				stack, err = rolledOut(ctx, tt.phase)
				return err
			})
			must(t, err)
			t.Logf("%s after %.0f s: %s", tt.phase, time.Since(begun).Seconds(), stack.Status.Rollout.Failure)
			lossless(t, c, len(bed.Cluster.Nodes()))
			got, err := logLevels(ctx)
			must(t, err)
			if !slices.Equal(got, []string{tt.level}) {
				t.Errorf("log levels: got %v, want %s alone", got, tt.level)
			}
			if !strings.Contains(stack.Status.Rollout.Failure, tt.words) {
				t.Errorf("failure: got %q, want %q in it", stack.Status.Rollout.Failure, tt.words)
			}
		})
	}
}

// crashing has the speaker end because of an argument that it does not know.
const crashing = `{"spec":{"patches":[{"target":{"kind":"DaemonSet"},"patch":"[{op: add, path: /spec/template/spec/containers/0/args/-, value: --no-such-flag}]"}]}}`

func level(name string) func(context.Context) error {
	return func(ctx context.Context) error { return patchSpec(ctx, `{"spec":{"speaker":{"logLevel":"`+name+`"}}}`) }
}

func patchSpec(ctx context.Context, text string) error {
	return patch(ctx, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}, text)
}
