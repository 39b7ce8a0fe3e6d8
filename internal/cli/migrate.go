package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
	"github.com/lbstack/lbstack/internal/inspect"
)

// fieldOwner is the owner of the fields of the stack that migrate applies. It is the same as that of kubectl
// apply --server-side, so that a later kubectl apply of the stack owns the same fields.
const fieldOwner = client.FieldOwner("kubectl")

// migrateRun is one run of the command migrate.
type migrateRun struct {
	genericiooptions.IOStreams
	*cluster

	file             string
	dryRun, rollback bool
	timeout          time.Duration
	// reports means that MetalLB reported at the start from which nodes it announces. The field gap is the
	// reason why lbstack could not announce from the same nodes at that time. It is empty if lbstack could.
	reports bool
	gap     string
	// responders has the results of the checks that restartLate makes.
	responders responderChecks
}

func migrateCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	m := &migrateRun{IOStreams: streams, cluster: cluster}
	cmd := &cobra.Command{
		Use:   "migrate (-f FILENAME | --rollback)",
		Short: "Switch Services from MetalLB to lbstack, with the same addresses, or back",
		Long: "Switch the Services that MetalLB serves to lbstack, with the same addresses. lbstack claims the addresses before the first speaker of MetalLB ends. If the stack announces to routers, nodes move one after the other, so that routers always have routes over other nodes; " +
			"addresses of the local network move at the end, all at once. MetalLB stays installed, without pods: --rollback gives the Services back to MetalLB.\n\n" +
			"The command refuses the switch, and writes nothing, if a Service would get other addresses, or if two load balancers would announce the same addresses. After an error or an interrupt, run the same command again to continue the switch. " +
			"The exit code is 0 if lbstack announces all Services that have endpoints; with --rollback, if MetalLB has taken the Services back.\n\n" +
			"The command finds the namespace of MetalLB by its workloads. If MetalLB runs in several namespaces, pass one with -n.",
		Example: "  # Make the stack, and read the report of the import\n  kubectl lbstack import --from-cluster > stack.yaml\n\n  # Show the steps\n  kubectl lbstack migrate -f stack.yaml --dry-run\n\n" +
			"  # Switch\n  kubectl lbstack migrate -f stack.yaml\n\n  # Back to MetalLB\n  kubectl lbstack migrate --rollback",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (m.file == "") != m.rollback:
				return errors.New("pass either the stack with -f or --rollback: see kubectl lbstack migrate --help")
			case m.timeout < time.Second:
				return fmt.Errorf("--timeout %s is too short, since a step takes seconds: use at least 1s", m.timeout)
			case m.rollback:
				return m.switchBack(cmd.Context())
			}
			return m.switchToLBStack(cmd.Context())
		},
	}
	cmd.Flags().StringVarP(&m.file, "filename", "f", "", "file with the LoadBalancerStack; - is the standard input")
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "check, and print the steps; nothing is written")
	cmd.Flags().BoolVar(&m.rollback, "rollback", false, "give the Services back to MetalLB, and delete the LoadBalancerStack")
	cmd.Flags().DurationVar(&m.timeout, "timeout", 3*time.Minute, "how long each step may take, at least 1s")
	return cmd
}

// switchToLBStack switches to lbstack.
func (m *migrateRun) switchToLBStack(ctx context.Context) error {
	wanted, err := readStackFile(m.IOStreams, m.file)
	if err != nil {
		return err
	}
	s, err := m.readSnapshot(ctx)
	if err == nil {
		err = m.readAllObjects(ctx, s)
	}
	if err != nil {
		return err
	}
	stack, err := m.dryRunStack(ctx, wanted, nil)
	if err != nil {
		return err
	}
	c, err := m.readAll(ctx)
	if err == nil {
		err = m.readOthers(ctx, c)
	}
	if err != nil {
		return err
	}
	if err := switchError(s, c, stack); err != nil {
		return err
	}
	if err := m.checkSwitchRights(ctx, c); err != nil {
		return err
	}
	order, err := m.moveOrder(s, c, stack)
	if err != nil {
		return err
	}
	_, stopped := cutover.SwitchProgress(&c.Speakers[0])
	joins := !stopped && cutover.HasLayer2(wanted)
	if joins {
		if err := m.readAnnouncers(ctx, c); err != nil {
			return err
		}
		m.reports = len(c.Announcers) > 0
		_, m.gap = c.AnnouncedFrom(stack, s.EndpointSlices)
	}
	m.printSteps(c, stack, order, joins && m.gap == "")
	if m.dryRun {
		return nil
	}
	if err := m.prepare(ctx, c, wanted, order); err != nil {
		return err
	}
	if err := m.moveRoutes(ctx, c, wanted, order); err != nil {
		return err
	}
	return m.finish(ctx, c, wanted)
}

// switchError returns an error with all reasons why a switch must not begin; nil if there is none.
func switchError(s *inspect.Snapshot, c *cutover.Cluster, stack *v1beta1.LoadBalancerStack) error {
	problems := c.SwitchProblems(stack)
	if len(problems) == 0 {
		changes, err := inspect.Plan(s, stack)
		if err != nil {
			return err
		}
		if changes.OnHold != "" {
			problems = append(problems, changes.OnHold+": the operator would not apply the stack")
		}
		planned, why := map[string][]string{}, map[string]string{}
		for i := range s.Claims {
			for _, h := range s.Claims[i].Spec.Holders {
				name := h.Namespace + "/" + h.Name
				planned[name] = append(planned[name], s.Claims[i].Spec.Address)
			}
		}
		for _, svc := range changes.Services {
			planned[svc.Service], why[svc.Service] = nil, svc.Why
			for _, a := range svc.After {
				planned[svc.Service] = append(planned[svc.Service], a.String())
			}
		}
		problems = append(problems, c.LostAddresses(stack.Spec.LoadBalancerClass, planned, why)...)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("the switch cannot begin:\n- %s", strings.Join(problems, "\n- "))
}

// moveOrder returns the order in which nodes move. They move together if the stack does not announce to
// routers, or if an earlier run has already stopped all speakers of MetalLB.
func (m *migrateRun) moveOrder(s *inspect.Snapshot, c *cutover.Cluster, stack *v1beta1.LoadBalancerStack) (cutover.Order, error) {
	moved, stopped := cutover.SwitchProgress(&c.Speakers[0])
	if len(stack.Spec.BGPPeers) == 0 || len(stack.Spec.BGPAdvertisements) == 0 || stopped {
		return cutover.Order{Together: cutover.PodNodes(c.Pods)}, nil
	}
	nodes, err := cutover.SpeakerNodes(c.Nodes, c.Pods, moved)
	if err != nil {
		return cutover.Order{}, err
	}
	return cutover.NewOrder(nodes, moved, c.LocalServices(stack, s.EndpointSlices)), nil
}

// printSteps prints the steps of the switch. The parameter joins means that joinAnnouncements is one of the
// steps.
func (m *migrateRun) printSteps(c *cutover.Cluster, stack *v1beta1.LoadBalancerStack, order cutover.Order, joins bool) {
	services, addresses := c.CountAddresses(stack.Spec.LoadBalancerClass)
	fmt.Fprintf(m.Out, "%d Services keep their %d addresses. The steps:\n", services, addresses)
	n := 0
	step := func(format string, args ...any) {
		n++
		fmt.Fprintf(m.Out, "%d. %s\n", n, fmt.Sprintf(format, args...))
	}
	step("stop MetalLB's controller (Deployment %s/%s); MetalLB's speakers keep running", c.Controllers[0].Namespace, c.Controllers[0].Name)
	step("apply the stack without advertisements and BGPPeers: lbstack claims the addresses in the status of Services, and its speakers start")
	for _, node := range order.OneByOne {
		step("on node %s, end MetalLB's speaker, and have lbstack announce routes to routers", node.Name)
	}
	if joins {
		step("have lbstack announce the addresses of the local network as well, each from the same node as MetalLB")
	}
	where := "all nodes"
	if len(order.OneByOne) > 0 {
		where = "all other nodes"
	}
	step("end MetalLB's speakers on %s (DaemonSet %s/%s), and have lbstack announce from all nodes", where, c.Speakers[0].Namespace, c.Speakers[0].Name)
	if m.gap != "" {
		fmt.Fprintf(m.Out, "In the last step, no node answers for addresses of the local network for some seconds: %s.\n", m.gap)
	}
	for _, name := range order.Silent {
		fmt.Fprintf(m.Out, "All nodes that may announce Service %s on the local network move before the last step: no node answers for the addresses of the Service on the local network until that step.\n", name)
	}
}

// prepare stops MetalLB's controller, so that MetalLB gives no more addresses to Services, and waits until
// lbstack has claimed the addresses that Services have. If an earlier run has already moved nodes, prepare
// only makes sure that the controller is stopped.
func (m *migrateRun) prepare(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured, order cutover.Order) error {
	down, err := cutover.StopController(&c.Controllers[0])
	if err == nil {
		err = m.writeWorkload(ctx, c, &c.Controllers[0], down)
	}
	if err != nil {
		return err
	}
	if moved, stopped := cutover.SwitchProgress(&c.Speakers[0]); len(moved) > 0 || stopped {
		return nil
	}
	if err := m.runStep(ctx, "MetalLB's controller ends", func(ctx context.Context) (string, error) { return m.controllerPodMessage(ctx, c) }); err != nil {
		return err
	}
	if err := m.apply(ctx, c, cutover.WithoutAnnouncements(wanted)); err != nil {
		return err
	}
	return m.runStep(ctx, "lbstack claims the addresses, and its speakers start", func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err == nil {
			err = listPages(ctx, m.cluster, &v1beta1.IPAddressPoolList{}, func(l *v1beta1.IPAddressPoolList) { now.Pools = append(now.Pools, l.Items...) })
		}
		if err != nil {
			return "", err
		}
		stack, err := m.readStack(ctx)
		if err != nil || stack == nil {
			return "LoadBalancerStack default does not exist", err
		}
		return now.UnpreparedReason(stack, append(order.OneByOne, order.Together...)), nil
	})
}

// moveRoutes ends MetalLB's speakers and starts lbstack's sessions with routers, one node after the other.
func (m *migrateRun) moveRoutes(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured, order cutover.Order) error {
	stack, err := typedStack(wanted)
	if err != nil {
		return err
	}
	moved, _ := cutover.SwitchProgress(&c.Speakers[0])
	for _, nodes := range order.GroupMoves(moved) {
		moved = cutover.AddHostnames(moved, nodes)
		if cutover.HasLayer2(wanted) {
			if err := m.waitQuiet(ctx, c, wanted); err != nil {
				return err
			}
		}
		if err := m.endSpeakers(ctx, c, nodes, func(set *appsv1.DaemonSet) (*appsv1.DaemonSet, error) { return cutover.LimitSpeakers(set, moved) }); err != nil {
			return err
		}
		where := cutover.NodesPhrase(nodes)
		if err := m.waitSpeakersEnd(ctx, c, where+": MetalLB's speaker ends", nodes); err != nil {
			return err
		}
		part, err := cutover.WithRoutesFrom(wanted, moved)
		if err == nil {
			err = m.apply(ctx, c, part)
		}
		if err != nil {
			return err
		}
		if err := m.runStep(ctx, where+": lbstack has sessions with routers", func(ctx context.Context) (string, error) {
			now, err := m.readState(ctx)
			if err != nil {
				return "", err
			}
			for _, node := range nodes {
				if words := now.MissingSessionMessage(stack, node); words != "" {
					return words, nil
				}
			}
			return "", nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// finish ends all speakers of MetalLB and applies the whole stack. Between these two steps, no node answers
// on the local network unless joinAnnouncements succeeded. So nothing else is done between them, and an
// interrupt takes effect only after both.
func (m *migrateRun) finish(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) error {
	if err := m.waitNodesReport(ctx, c); err != nil {
		return err
	}
	if err := m.joinAnnouncements(ctx, c, wanted); err != nil {
		return err
	}
	if _, stopped := cutover.SwitchProgress(&c.Speakers[0]); !stopped && cutover.HasLayer2(wanted) {
		if err := m.waitQuiet(ctx, c, wanted); err != nil {
			return err
		}
	}
	whole := context.WithoutCancel(ctx)
	err := m.endSpeakers(whole, c, nil, cutover.StopSpeakers)
	if err == nil {
		err = m.waitSpeakersEnd(whole, c, "MetalLB's speakers end", nil)
	}
	if err == nil {
		err = m.apply(whole, c, wanted)
	}
	if err != nil {
		return err
	}
	err = m.runStep(ctx, "lbstack announces the Services", func(ctx context.Context) (string, error) {
		stack, err := m.readStack(ctx)
		if err != nil || stack == nil {
			return "LoadBalancerStack default does not exist", err
		}
		if words := notReadyReason(stack); words != "" {
			return words, nil
		}
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		return c.UnannouncedServiceMessage(now, stack.Spec.LoadBalancerClass), nil
	})
	if err == nil || ctx.Err() == nil { // MetalLB has ended: the requests for nodes in the claims are removed even if the step failed, but not after an interrupt
		err = errors.Join(err, m.spreadAddresses(ctx, c, wanted))
	}
	if err == nil || ctx.Err() == nil {
		err = errors.Join(err, m.changeClaims(ctx, c, (*cutover.Cluster).EndNodeRequests))
	}
	if err == nil {
		fmt.Fprintln(m.Out, "lbstack announces the addresses. MetalLB is still installed, without pods, because kubectl lbstack migrate --rollback needs it: remove MetalLB when you no longer need a rollback.")
	}
	return err
}

// apply applies a stack as kubectl apply --server-side --force-conflicts does, since a conflict would end a switch in the middle.
func (m *migrateRun) apply(ctx context.Context, c *cutover.Cluster, stack *unstructured.Unstructured) error {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": stack.Object["spec"]}}
	object.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
	object.SetName(stack.GetName())
	object.SetLabels(stack.GetLabels())
	object.SetAnnotations(stack.GetAnnotations())
	return m.wait(ctx, "applying the stack", func(ctx context.Context) (string, error) {
		if _, err := m.checkUnchanged(ctx, &c.Speakers[0]); err != nil {
			return "", err
		}
		return "", missingRight(m.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), fieldOwner, client.ForceOwnership))
	})
}
