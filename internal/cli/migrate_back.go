package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
	"github.com/lbstack/lbstack/internal/migrate"
)

// nodePause is the pause between two nodes of a rollback: MetalLB does not report its sessions with routers, so the command
// cannot wait for them.
const nodePause = 10 * time.Second

// switchBack gives the Services back to MetalLB (--rollback).
func (m *migrateRun) switchBack(ctx context.Context) error {
	c, err := m.readAll(ctx)
	if err != nil {
		return err
	}
	problems := c.RollbackProblems()
	if len(problems) == 0 {
		if problems, err = m.withoutMetalLBPool(ctx, c); err != nil {
			return err
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("the rollback cannot begin:\n- %s", strings.Join(problems, "\n- "))
	}
	if err := m.checkRollbackRights(ctx, c); err != nil {
		return err
	}
	stack := &v1beta1.LoadBalancerStack{}
	if c.Stack != nil {
		if stack, err = typedStack(c.Stack); err != nil {
			return err
		}
	}
	endpoints, err := m.readEndpoints(ctx)
	if err != nil {
		return err
	}
	order, err := cutover.BackOrder(c.Nodes, c.States, &c.Speakers[0], stack, c.LocalServices(stack, endpoints))
	if err != nil {
		return err
	}
	host, gap, err := m.chooseHost(ctx, c, stack, endpoints, order)
	if err != nil {
		return err
	}
	m.printBackSteps(c, order, host, gap)
	if m.dryRun {
		return nil
	}
	if err := m.returnAll(ctx, c, order, host); err != nil {
		return err
	}
	return m.handOver(ctx, c)
}

// returnAll gives all nodes back to MetalLB. The node of host is the first, and both load balancers announce
// from it for a while (see moveOverHost). Without a host, or if moveOverHost does not succeed, lbstack ends
// its announcements before MetalLB's speakers start. In this case no node answers on the local network
// between these two steps, so an interrupt takes effect only after both.
func (m *migrateRun) returnAll(ctx context.Context, c *cutover.Cluster, order cutover.Order, host *cutover.Host) (err error) {
	routes, done := len(order.OneByOne)+len(order.Together) > 0, false
	if host != nil {
		left := order.Without(host.Node)
		if done, err = m.moveOverHost(ctx, c, host, slices.Concat(left.OneByOne, left.Together)); err != nil {
			return err
		}
		if done {
			order = left
		}
	}
	switch {
	case !done:
		err = m.returnNodes(context.WithoutCancel(ctx), c, order.Together, order.OneByOne)
	case len(order.Together) > 0 || !routes:
		if err = m.pauseBetweenNodes(ctx); err == nil {
			err = m.returnNodes(ctx, c, order.Together, order.OneByOne)
		}
	}
	if err != nil {
		return err
	}
	for i, node := range order.OneByOne {
		if err := m.pauseBetweenNodes(ctx); err != nil {
			return err
		}
		if err := m.returnNodes(ctx, c, []cutover.Node{node}, order.OneByOne[i+1:]); err != nil {
			return err
		}
	}
	if len(order.OneByOne) > 0 {
		return m.pauseBetweenNodes(ctx)
	}
	return nil
}

// withoutMetalLBPool returns a sentence for each address that MetalLB cannot give to its Service again,
// because no pool of MetalLB contains the address. It returns none if the cluster has no pool objects:
// MetalLB before 0.13 has its pools in a ConfigMap, which is not read.
func (m *migrateRun) withoutMetalLBPool(ctx context.Context, c *cutover.Cluster) ([]string, error) {
	var pools []migrate.Object
	namespace := c.Controllers[0].Namespace
	for _, kind := range []string{"IPAddressPool", "AddressPool"} {
		found, err := m.list(ctx, schema.GroupKind{Group: "metallb.io", Kind: kind}, client.InNamespace(namespace))
		if err != nil {
			return nil, err
		}
		for i := range found {
			pools = append(pools, migrate.Object{From: "the cluster", Content: found[i].Object})
		}
	}
	if len(pools) == 0 {
		return nil, nil
	}
	result := migrate.Import(pools, namespace)
	return c.NoPoolProblems(result.Stack.Spec.IPAddressPools), nil
}

// printBackSteps prints the steps of a rollback. The parameter host is the node for moveOverHost, or nil. If
// host is nil and the stack announces on the local network, gap is the reason why there is no such node.
func (m *migrateRun) printBackSteps(c *cutover.Cluster, order cutover.Order, host *cutover.Host, gap string) {
	n := 0
	routes, set := len(order.OneByOne)+len(order.Together) > 0, fmt.Sprintf("DaemonSet %s/%s", c.Speakers[0].Namespace, c.Speakers[0].Name)
	step := func(format string, args ...any) {
		n++
		fmt.Fprintf(m.Out, "%d. %s\n", n, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(m.Out, "The Services go back to MetalLB with their addresses. The steps:")
	if host != nil {
		step("have lbstack announce all addresses of the local network from node %s", host.Name)
		sessions := ""
		if routes {
			sessions = "end lbstack's sessions with routers, and "
		}
		step("on node %s, %sstart MetalLB's speaker; once MetalLB announces the addresses as well, end lbstack's announcements on the local network", host.Name, sessions)
		order = order.Without(host.Node)
	}
	switch {
	case host != nil && !routes:
		step("start MetalLB's speakers on all other nodes (%s)", set)
	case host != nil && len(order.Together) > 0:
		step("end lbstack's sessions with routers on %s, and start MetalLB's speakers on these nodes", cutover.NodesPhrase(order.Together))
	case host != nil:
	case len(order.OneByOne) == 0:
		step("end all announcements of lbstack, and start MetalLB's speakers on all nodes (%s)", set)
	default:
		step("end lbstack's announcements on the local network and its sessions with routers on %s; then start MetalLB's speakers on these nodes", cutover.NodesPhrase(order.Together))
	}
	for _, node := range order.OneByOne {
		step("on node %s, end lbstack's sessions with routers, and start MetalLB's speaker", node.Name)
	}
	step("restore the DaemonSet of MetalLB's speakers (speakers that were started one by one are restarted in turn), and start MetalLB's controller (Deployment %s/%s)", c.Controllers[0].Namespace, c.Controllers[0].Name)
	step("delete LoadBalancerStack default and the IPAddressClaims; the addresses stay in the status of the Services")
	if gap != "" {
		fmt.Fprintf(m.Out, "In the first step, no node answers for addresses of the local network for some seconds: %s.\n", gap)
	}
	for _, name := range order.Silent {
		fmt.Fprintf(m.Out, "All nodes that may announce Service %s on the local network go back after the first nodes: no node answers for the addresses of the Service on the local network until one of these nodes has gone back.\n", name)
	}
}

// returnNodes ends lbstack's announcements on nodes and then starts MetalLB's speakers there. lbstack keeps
// its sessions with routers on the nodes in rest, and announces nothing on the local network.
func (m *migrateRun) returnNodes(ctx context.Context, c *cutover.Cluster, nodes, rest []cutover.Node) error {
	if c.Stack != nil {
		leaving, err := cutover.LeavingStack(c.Stack, cutover.Hostnames(rest))
		if err != nil {
			return err
		}
		if err := m.leave(ctx, c, leaving); err != nil {
			return err
		}
		c.Stack = leaving
		gone := nodes
		if len(rest) == 0 && len(nodes) != 1 {
			gone = speakerNodes(c)
		}
		if err := m.runStep(ctx, "lbstack ends its announcements", func(ctx context.Context) (string, error) {
			now, err := m.readState(ctx)
			if err != nil {
				return "", err
			}
			return now.AnnouncingNodesMessage(gone), nil
		}); err != nil {
			return err
		}
	}
	limited, err := cutover.ReturnSpeakers(&c.Speakers[0], cutover.Hostnames(rest))
	if err == nil {
		err = m.writeWorkload(ctx, c, &c.Speakers[0], limited)
	}
	if err != nil {
		return err
	}
	return m.waitSpeakersStart(ctx, c, "MetalLB's speakers start")
}

// leave replaces the spec of the stack in the cluster by the spec of leaving, which announces less. It
// applies the spec first, so that a later switch can change the fields as their owner. An apply does not
// remove fields that have another owner, so leave then removes them with a patch.
func (m *migrateRun) leave(ctx context.Context, c *cutover.Cluster, leaving *unstructured.Unstructured) error {
	if err := m.apply(ctx, c, leaving); err != nil {
		return err
	}
	return m.wait(ctx, "changing the stack", func(ctx context.Context) (string, error) {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(leaving.GroupVersionKind())
		if err := m.api.Get(ctx, client.ObjectKeyFromObject(leaving), now); err != nil {
			return "", missingRight(err)
		}
		want := now.DeepCopy()
		want.Object["spec"] = leaving.DeepCopy().Object["spec"]
		patch := client.MergeFrom(now)
		data, err := patch.Data(want)
		if err != nil || string(data) == "{}" {
			return "", err
		}
		return "", missingRight(m.api.Patch(ctx, want, client.RawPatch(patch.Type(), data)))
	})
}

// speakerNodes returns all nodes with a speaker of lbstack.
func speakerNodes(c *cutover.Cluster) (nodes []cutover.Node) {
	for i := range c.States {
		nodes = append(nodes, cutover.Node{Name: c.States[i].Name})
	}
	return nodes
}

// handOver restores MetalLB's workloads, and deletes the stack last. The removal of the stack leaves the addresses in the status of
// Services. MetalLB's controller, which runs by then, reads them there and gives each Service the same addresses.
func (m *migrateRun) handOver(ctx context.Context, c *cutover.Cluster) error {
	restored, err := cutover.RestoreSpeakers(&c.Speakers[0])
	if err == nil {
		err = m.writeWorkload(ctx, c, &c.Speakers[0], restored)
	}
	if err != nil {
		return err
	}
	if err := m.waitSpeakersStart(ctx, c, "the DaemonSet of MetalLB's speakers is restored"); err != nil {
		return err
	}
	up, err := cutover.StartController(&c.Controllers[0])
	if err == nil {
		err = m.writeWorkload(ctx, c, &c.Controllers[0], up)
	}
	if err != nil {
		return err
	}
	if err := m.runStep(ctx, "MetalLB's controller starts", func(ctx context.Context) (string, error) {
		err := m.api.Get(ctx, client.ObjectKeyFromObject(&c.Controllers[0]), &c.Controllers[0])
		return cutover.UnavailablePodsMessage(&c.Controllers[0]), missingRight(err)
	}); err != nil {
		return err
	}
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	if err := m.wait(ctx, "deleting the stack", func(ctx context.Context) (string, error) {
		if _, err := m.checkUnchanged(ctx, &c.Speakers[0]); err != nil {
			return "", err
		}
		return "", missingRight(client.IgnoreNotFound(m.api.Delete(ctx, stack)))
	}); err != nil {
		return err
	}
	if err := m.runStep(ctx, "the stack is removed", func(ctx context.Context) (string, error) {
		switch err := m.api.Get(ctx, client.ObjectKeyFromObject(stack), stack); {
		case apierrors.IsNotFound(err):
			return "", nil
		case err != nil:
			return "", missingRight(err)
		}
		return "LoadBalancerStack default is being removed", nil
	}); err != nil {
		return err
	}
	err = m.runStep(ctx, "the addresses are in the status of the Services", func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		return c.LostAddressMessage(now), nil
	})
	if err == nil {
		fmt.Fprintln(m.Out, "MetalLB announces the addresses, as before the switch.")
	}
	return err
}

// waitSpeakersStart waits until all of MetalLB's speakers are ready. It then restarts those that do not
// receive neighbour solicitations (see restartLate).
func (m *migrateRun) waitSpeakersStart(ctx context.Context, c *cutover.Cluster, what string) error {
	if err := m.runStep(ctx, what, func(ctx context.Context) (string, error) {
		_, _, words, err := m.readSpeakers(ctx, c)
		return words, err
	}); err != nil {
		return err
	}
	return m.restartLate(ctx, c)
}

// readSpeakers reads the pods of MetalLB's speakers (now.Pods) and their DaemonSet (set). The result words is
// a phrase with the number of speakers that are ready. It is empty if all are ready.
func (m *migrateRun) readSpeakers(ctx context.Context, c *cutover.Cluster) (now *cutover.Cluster, set *appsv1.DaemonSet, words string, err error) {
	if set, err = m.checkUnchanged(ctx, &c.Speakers[0]); err != nil {
		return nil, nil, "", err
	}
	if now, err = m.readState(ctx); err == nil {
		now.Pods, err = m.pods(ctx, set)
	}
	if err != nil {
		return nil, nil, "", err
	}
	return now, set, now.UnstartedSpeakersMessage(set), nil
}

func (m *migrateRun) pauseBetweenNodes(ctx context.Context) error { return m.pause(ctx, nodePause) }

// pause waits for a time, or until the command is interrupted.
func (m *migrateRun) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.New("interrupted: run the command again to continue")
	case <-time.After(d):
		return nil
	}
}
