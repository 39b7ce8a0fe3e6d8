package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

const (
	// mistakeWithin bounds the test, and shownWithin the time until a state that it waits for is there. An address that a host uses is
	// probed again after 30 s.
	mistakeWithin, shownWithin = 10 * time.Minute, 90 * time.Second
	// beside is how long both load balancers run before clients are asked how they fared.
	beside = 10 * time.Second
)

// TestBothLoadBalancersByMistake has somebody apply the whole stack while MetalLB serves. lbstack announces no address from another node
// than MetalLB, unless MetalLB's speaker is late to answer, which a speaker reports then. Every Service keeps its addresses, and the conditions, doctor and migrate name the mistake. The switch works once the
// mistake is corrected as migrate says, and so does the way back.
func TestBothLoadBalancersByMistake(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), mistakeWithin)
	defer cancel()
	bed, err := scenario.Open(ctx)
	must(t, err)
	config, rest, _ := bytes.Cut(metallbConfig, []byte(withRoutes))
	forget(ctx, t, bed, rest)
	layer2 := slices.DeleteFunc(services(), func(svc *corev1.Service) bool { return strings.HasPrefix(svc.Name, "routed-") })
	addresses := served(ctx, t, bed, layer2, config)
	stack := imported(ctx, t, bed)

	connections := switched(ctx, t, bed, addresses, "both by mistake", reportedTwice(bed), func(ctx context.Context) (*steps, error) {
		log := &steps{since: time.Now()}
		fmt.Fprintln(log, "the whole stack is applied")
		applied(ctx, t, bed, stack)
		err := shortly(ctx, func(ctx context.Context) error { return namesNodes(ctx, bed) })
		if err != nil {
			return log, err
		}
		fmt.Fprintln(log, "the stack names the nodes")
		eventually.Stays(t, beside, "each Service has its addresses", func(context.Context) error { // its context ends while Services are listed
			if diff := cmp.Diff(addresses, shown(ctx, t, bed)); diff != "" {
				return fmt.Errorf("addresses of the Services (-want +got):\n%s", diff)
			}
			return nil
		})
		return log, nil
	})
	for _, c := range connections {
		if c.Failed > 0 {
			t.Errorf("both by mistake: %d of %d connections failed; the first ones:\n%s", c.Failed, c.Tried, strings.Join(c.Why[:min(10, len(c.Why))], "\n"))
		}
	}
	must(t, shortly(ctx, func(ctx context.Context) error { return doctorNamesMetalLB(ctx, bed) }))
	const refusal = "LoadBalancerStack default has spec.l2Advertisements while speakers of MetalLB run: MetalLB and lbstack would announce the same addresses"
	out, err := printed(ctx, bed, "migrate", "-f", stack)
	if err == nil || !strings.Contains(out, refusal) || !strings.Contains(out, "remove the field from the stack") {
		t.Fatalf("migrate: got the error %v, want one, %q, and what to remove; it prints\n%s", err, refusal, out)
	}

	applied(ctx, t, bed, stack, "l2Advertisements")
	must(t, shortly(ctx, func(ctx context.Context) error { return owned(ctx, bed, 0) }))
	forth(ctx, t, bed, addresses, stack)
	must(t, shortly(ctx, bed.StackReady))
	claimed(ctx, t, bed, addresses)
	// Both may have announced the IPv6 address, see docs/migrate.md. A connection whose packets went to two nodes is left in the tables of
	// their kernels for minutes, and one that later comes from the same port may hang: only those over IPv4 must not fail.
	for _, c := range switched(ctx, t, bed, addresses, "back to MetalLB", nil, func(ctx context.Context) (*steps, error) {
		return migrated(ctx, t, bed, nil, "--rollback")
	})[:2] {
		if c.Failed > 0 {
			t.Errorf("back to MetalLB: %d of %d connections over IPv4 failed", c.Failed, c.Tried)
		}
	}
}

// reportedTwice returns a function that returns the addresses that speakers report as announced by them and used by another host.
func reportedTwice(bed *scenario.Scenario) func(context.Context) (map[string]bool, error) {
	return func(ctx context.Context) (map[string]bool, error) {
		var states v1beta1.SpeakerStateList
		if err := bed.Client.List(ctx, &states); err != nil {
			return nil, err
		}
		all := map[string]bool{}
		for i := range states.Items {
			for _, c := range states.Items[i].Status.Conflicts {
				all[c.Address] = all[c.Address] || c.Announced
			}
		}
		return all, nil
	}
}

// shortly polls until check succeeds, for shownWithin at most.
func shortly(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, shownWithin)
	defer cancel()
	return eventually.Poll(ctx, check)
}

// namesNodes returns an error unless stack and pool are not Ready, since nodes answer for addresses of the pool, and their messages say so.
// The pool names MetalLB as well.
func namesNodes(ctx context.Context, bed *scenario.Scenario) error {
	stack, pool := &v1beta1.LoadBalancerStack{}, &v1beta1.IPAddressPool{}
	if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		return err
	}
	if err := bed.Client.Get(ctx, client.ObjectKey{Name: "lan"}, pool); err != nil {
		return err
	}
	return errors.Join(
		hasCondition("the pool lan", pool.Status.Conditions, v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonForeignHost),
		hasCondition("the pool lan", pool.Status.Conditions, v1beta1.ConditionConflict, metav1.ConditionTrue, v1beta1.ReasonForeignHost, `is used by the kernel of the node "`, "such as MetalLB"),
		hasCondition("the stack", stack.Status.Conditions, v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonPoolNotReady, "the pool ", `is used by the kernel of the node "`),
	)
}

// hasCondition returns an error unless there is a condition with this status and reason, whose message has these parts.
func hasCondition(what string, conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string, parts ...string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		return fmt.Errorf("%s has no condition %s: %+v", what, kind, conditions)
	}
	lacks := slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(c.Message, part) })
	if c.Status != status || c.Reason != reason || lacks {
		return fmt.Errorf("%s: %s is %s %s: %s; want %s %s, and the parts %q", what, kind, c.Status, c.Reason, c.Message, status, reason, parts)
	}
	return nil
}

// doctorNamesMetalLB returns an error unless doctor finds problems, names MetalLB before it says anything about interfaces of nodes, and
// lists each address for which a node answers.
func doctorNamesMetalLB(ctx context.Context, bed *scenario.Scenario) error {
	var states v1beta1.SpeakerStateList
	if err := bed.Client.List(ctx, &states); err != nil {
		return err
	}
	out, err := printed(ctx, bed, "doctor")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return fmt.Errorf("doctor: got the error %w, want the exit code 1; it prints\n%s", err, out)
	}
	named, interfaces := strings.Index(out, "MetalLB (DaemonSet metallb-system/speaker)"), strings.Index(out, "interfaces")
	if named < 0 || interfaces >= 0 && interfaces < named {
		return fmt.Errorf("doctor names MetalLB at byte %d and interfaces at byte %d, want MetalLB first; it prints\n%s", named, interfaces, out)
	}
	listed := 0
	for i := range states.Items {
		for _, c := range states.Items[i].Status.Conflicts {
			if c.HostNode == "" {
				continue
			}
			if listed++; !strings.Contains(out, "- "+c.Address+": the kernel of the node ") {
				return fmt.Errorf("doctor does not list %s, for which %s answers; it prints\n%s", c.Address, c.HostNode, out)
			}
		}
	}
	if listed == 0 {
		return errors.New("no speaker reports an address for which a node answers")
	}
	return nil
}

// applied applies the stack of a file, without some fields of its spec.
func applied(ctx context.Context, t *testing.T, bed *scenario.Scenario, file string, without ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	object := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal(text, &object.Object))
	for _, field := range without {
		unstructured.RemoveNestedField(object.Object, "spec", field)
	}
	must(t, bed.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"), client.ForceOwnership))
}

// printed runs the plugin, and returns what it prints.
func printed(ctx context.Context, bed *scenario.Scenario, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, plugin(bed), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	out, err := cmd.CombinedOutput()
	return string(out), err
}
