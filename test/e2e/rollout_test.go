package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

const (
	// rolls bounds a rollout on the cluster, with a failing step.
	rolls = 5 * time.Minute
	// runsVariable is how often TestRollout_UnderTraffic runs every kind of rollout; once by default.
	runsVariable = "LBSTACK_RUNS"
)

// rolloutKind is one kind of rollout, and how it ends.
type rolloutKind struct {
	name string
	// change begins the rollout.
	change func(context.Context) error
	// during is called when the rollout is in the phase in; nil: nothing is called.
	in     v1beta1.RolloutPhase
	during func(context.Context) error
	// kills: during always kills the operator.
	kills bool
	// phase in which the rollout ends, with words of the failure, and the image and log level of all speakers.
	phase               v1beta1.RolloutPhase
	words, image, level string
}

// rolloutBed has the two Services that clients connect to in a rollout, one announced over layer 2 and
// one over BGP, with their addresses and nodes.
type rolloutBed struct {
	layer2, routed string
	// endpoints are the nodes with a pod of both; dies is a node without one, and without a route.
	endpoints []string
	dies      string
}

// TestRollout_UnderTraffic changes the components in all ways while clients connect to two addresses,
// of layer 2 and of BGP, every 5 ms each. No connection fails, whatever becomes of the rollout.
func TestRollout_UnderTraffic(t *testing.T) {
	b := readyForRollouts(t)
	runs := 1
	if text := os.Getenv(runsVariable); text != "" {
		var err error
		runs, err = strconv.Atoi(text)
		must(t, err)
	}
	next, former := nextImage, image(t)
	restoreAfter(t, former)
	loadImages(t, former)
	table := rolloutTable{rows: map[string][]rolloutRow{}}
	for run := 1; run <= runs; run++ {
		kills := run%2 == 0
		for _, kind := range b.kinds(kills, runs > 1, next) {
			t.Run(fmt.Sprintf("run %d/%s", run, kind.name), func(t *testing.T) {
				row := rolloutRow{killed: kind.kills || kills && kind.during != nil}
				defer func() { table.add(kind, row) }()
				b.prepare(t)
				b.run(t, kind, &row)
			})
		}
		former, next = next, former
		t.Log(table.String())
	}
}

// kinds returns the rollouts of a run in order. The first rollout is to the image next. With
// kills the operator is killed in the middle of each but the last. Without all, kinds leaves out one
// slow kind that unit tests cover as well.
func (b *rolloutBed) kinds(kills, all bool, next string) []rolloutKind {
	dies := b.nodeDies
	var sometimes func(context.Context) error
	if kills {
		sometimes = killOperators
		dies = func(ctx context.Context) error { return errors.Join(killOperators(ctx), b.nodeDies(ctx)) }
	}
	list := []rolloutKind{
		{name: "good upgrade", change: wants(next), in: v1beta1.RolloutSpeakers, during: sometimes,
			phase: v1beta1.RolloutComplete, image: next, level: "info"},
		{name: "operator killed in the middle", change: level("Debug"), in: v1beta1.RolloutSpeakers, during: killOperators, kills: true,
			phase: v1beta1.RolloutComplete, image: next, level: "debug"},
		{name: "node dead in the middle", change: level("Info"), in: v1beta1.RolloutCanary, during: dies,
			phase: v1beta1.RolloutComplete, image: next, level: "info"},
		{name: "image that does not exist", change: wants(absentImage), in: v1beta1.RolloutController, during: sometimes,
			phase: v1beta1.RolloutRolledBack, image: next, level: "info", words: "the image cannot be pulled"},
		{name: "image that crashes", change: wants(crashingImage), in: v1beta1.RolloutCanary, during: sometimes,
			phase: v1beta1.RolloutRolledBack, image: next, level: "info", words: "the speaker is not ready"},
		{name: "image that is ready and never announces", change: wants(silentImage), in: v1beta1.RolloutRollingBack, during: sometimes,
			phase: v1beta1.RolloutRolledBack, image: next, level: "info", words: "does not announce its addresses on the network"},
	}
	if all {
		list = append(list, rolloutKind{name: "image that announces no routes", change: wants(routelessImage), in: v1beta1.RolloutCanary, during: sometimes,
			phase: v1beta1.RolloutRolledBack, image: next, level: "info", words: "announces no address to routers"})
	}
	return append(list, rolloutKind{name: "good image again", change: wants(next), phase: v1beta1.RolloutComplete, image: next, level: "info"})
}

// readyForRollouts installs the stack with a router and both Services.
func readyForRollouts(t *testing.T) *rolloutBed {
	t.Helper()
	b := &rolloutBed{}
	// This cleanup runs last, since a peer refers to the profile until then.
	t.Cleanup(func() { patchStack(t, `{"spec":{"bfdProfiles":null}}`) })
	b.routed, b.endpoints = routed(t)
	// At 3 x 100 ms a router or speaker that waits for a processor counts as lost, on a machine that
	// runs the whole cluster. A rollout does not cause that.
	patchStack(t, `{"spec":{"bfdProfiles":[{"name":"fast","transmitIntervalMilliseconds":100,"receiveIntervalMilliseconds":500,"detectMultiplier":10}]}}`)
	b.layer2 = served(t)
	for _, node := range bed.Cluster.Nodes() {
		if !slices.Contains(b.endpoints, node) {
			b.dies = node
		}
	}
	if b.dies == "" {
		t.Fatalf("all of %v have an endpoint", b.endpoints)
	}
	patchStack(t, `{"spec":{"speaker":{"rollout":{"stepTimeoutSeconds":60}}}}`)
	ctx, cancel := context.WithTimeout(context.Background(), rolls)
	defer cancel()
	_, err := rolledOut(ctx, v1beta1.RolloutComplete)
	must(t, err)
	must(t, bed.EveryoneSeesEveryone(ctx))
	return b
}

// restoreAfter restores the cluster when the test ends.
func restoreAfter(t *testing.T, former string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), rolls)
		defer cancel()
		must(t, wants(former)(ctx))
		patchStack(t, `{"spec":{"speaker":{"logLevel":"Info","rollout":null}}}`)
		_, err := rolledOut(ctx, v1beta1.RolloutComplete)
		must(t, err)
		must(t, bed.StackReady(ctx))
		must(t, bed.EveryoneSeesEveryone(ctx))
	})
}

// prepare has a node announce the address of layer 2 that does not die. The client may have
// dropped the neighbour entry of the address, since the images take minutes to build.
func (b *rolloutBed) prepare(t *testing.T) {
	t.Helper()
	ctx := background(t)
	must(t, bed.EveryoneSeesEveryone(ctx))
	must(t, bed.RoutedTo(ctx, b.routed, b.endpoints...))
	_, err := bed.Page(ctx, b.layer2)
	must(t, err)
	must(t, b.moved(ctx))
}

func (b *rolloutBed) moved(ctx context.Context) error {
	owner, err := bed.Settled(ctx, b.layer2)
	if err != nil || owner.Node != b.dies {
		return err
	}
	err = bed.Drain(ctx, b.dies, true)
	if err == nil {
		err = eventually.Poll(ctx, func(ctx context.Context) error {
			now, err := bed.Settled(ctx, b.layer2)
			if err == nil && now.Node == b.dies {
				err = fmt.Errorf("%s owns %s still", b.dies, b.layer2)
			}
			return err
		})
	}
	return errors.Join(err, bed.Drain(ctx, b.dies, false))
}

// run runs a rollout under traffic, and checks the rollout and the traffic.
func (b *rolloutBed) run(t *testing.T, kind rolloutKind, row *rolloutRow) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rolls)
	defer cancel()
	answers := watching(t, b.layer2)
	route, err := bed.WatchRoute(b.routed)
	must(t, err)
	defer route.Close()
	begun := time.Now()
	var stack *v1beta1.LoadBalancerStack
	connections, err := bed.ConnectingTo(ctx, []string{b.layer2 + ":80", b.routed + ":80"}, func(ctx context.Context) (err error) {
		stack, err = kind.roll(ctx)
		return err
	})
	must(t, err)
	row.layer2, row.routed = connections[0], connections[1]
	row.silent, row.absent = answers.Since(begun, b.layer2).Silent, route.Absent(begun)
	t.Logf("%s after %.0f s; nobody answered for %s for %d ms, and %s had no route for %d ms: %s", kind.phase, time.Since(begun).Seconds(),
		b.layer2, row.silent.Milliseconds(), b.routed, row.absent.Milliseconds(), stack.Status.Rollout.Failure)
	for _, c := range connections {
		lossless(t, c, len(bed.Cluster.Nodes()))
	}
	if row.silent > soon || row.absent > 0 {
		t.Errorf("nobody announced %s for %s, and %s for %s", b.layer2, row.silent, b.routed, row.absent)
	}
	notBoth(t, answers, b.layer2, together)
	if !strings.Contains(stack.Status.Rollout.Failure, kind.words) {
		t.Fatalf("failure: got %q, want %q in it", stack.Status.Rollout.Failure, kind.words)
	}
	eventually.Succeed(t, within, "the components are those of the end", kind.ended)
	must(t, bed.RoutedTo(background(t), b.routed, b.endpoints...))
	_, err = bed.Settled(background(t), b.layer2)
	must(t, err)
	for _, service := range []string{scenario.SampleService, scenario.RoutedService} {
		announced(t, service, metav1.ConditionTrue, v1beta1.ReasonAnnounced)
	}
	row.ended = true
}

// roll begins the rollout and waits for its end.
func (k rolloutKind) roll(ctx context.Context) (*v1beta1.LoadBalancerStack, error) {
	before := &v1beta1.LoadBalancerStack{}
	if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, before); err != nil {
		return nil, err
	}
	if err := k.change(ctx); err != nil {
		return nil, err
	}
	if k.during != nil {
		if err := inPhase(ctx, k.in); err != nil {
			return nil, err
		}
		if err := k.during(ctx); err != nil {
			return nil, err
		}
	}
	if before.Status.Rollout.Phase == k.phase {
		if err := changed(ctx, before); err != nil {
			return nil, err
		}
	}
	return rolledOut(ctx, k.phase)
}

// ended returns an error unless every node has one ready speaker as expected at the end, and all
// controllers are of the same image.
func (k rolloutKind) ended(ctx context.Context) error {
	for _, component := range []string{"speaker", "controller"} {
		var pods corev1.PodList
		if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: component}); err != nil {
			return err
		}
		if component == "speaker" && len(pods.Items) != len(bed.Cluster.Nodes()) {
			return fmt.Errorf("there are %d speakers", len(pods.Items))
		}
		for i := range pods.Items {
			pod, container := &pods.Items[i], pods.Items[i].Spec.Containers[0]
			if container.Image != k.image || component == "speaker" && container.Args[0] != "--log-level="+k.level || !podReady(pod) {
				return fmt.Errorf("%s on %s has %s %v, ready: %t; want %s, log level %s", pod.Name, pod.Spec.NodeName, container.Image, container.Args, podReady(pod), k.image, k.level)
			}
		}
	}
	return nil
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
