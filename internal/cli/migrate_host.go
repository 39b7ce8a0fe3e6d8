package cli

import (
	"cmp"
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
)

// chooseHost returns the node for moveOverHost. It returns nil without a reason if lbstack announces nothing
// on the local network, or if MetalLB already announces again. If no node is suitable, it returns nil and the
// reason.
func (m *migrateRun) chooseHost(ctx context.Context, c *cutover.Cluster, stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice, order cutover.Order) (*cutover.Host, string, error) {
	if _, stopped := cutover.SwitchProgress(&c.Speakers[0]); !stopped || c.Stack == nil || !cutover.HasLayer2(c.Stack) {
		return nil, "", nil
	}
	if err := m.readAnnouncers(ctx, c); err != nil { // a missing right is an error before the first write
		return nil, "", err
	}
	host, why := c.ChooseHost(stack, endpoints, order.Together)
	return host, why, nil
}

// moveOverHost makes both load balancers announce all addresses of the local network from one node, and then
// ends lbstack's announcements there. Clients cannot distinguish the two load balancers, since both answer
// with the hardware address of that node. If lbstack cannot announce all addresses from the node,
// moveOverHost prints the reason and returns false before any speaker of MetalLB has started. The nodes in
// rest are the other nodes with sessions with routers; lbstack keeps these sessions.
func (m *migrateRun) moveOverHost(ctx context.Context, c *cutover.Cluster, host *cutover.Host, rest []cutover.Node) (bool, error) {
	if why, err := m.gatherOnHost(ctx, c, host); err != nil || why != "" {
		return false, m.printSilence(why, err)
	}
	ctx = context.WithoutCancel(ctx) // from now on both may answer: an interrupt takes effect only when lbstack has ended
	whole, nodes := c.Stack, []cutover.Node{host.Node}
	leaving, err := cutover.LeavingStack(whole, cutover.Hostnames(rest))
	if err == nil {
		err = m.leave(ctx, c, cutover.WithLayer2(leaving, whole))
	}
	if err == nil && cutover.HasRoutes(whole) {
		err = m.waitLBStackEnds(ctx, fmt.Sprintf("node %s: lbstack ends its sessions with routers", host.Name), func(now *cutover.Cluster) string { return now.SessionNodesMessage(nodes) })
	}
	if err != nil {
		return false, err
	}
	alone, err := cutover.ReturnSpeakers(&c.Speakers[0], host.Others)
	if err == nil {
		err = m.writeWorkload(ctx, c, &c.Speakers[0], alone)
	}
	if err == nil {
		err = m.waitSpeakersStart(ctx, c, fmt.Sprintf("node %s: MetalLB's speaker starts", host.Name))
	}
	if err == nil {
		err = m.waitAnnouncedFrom(ctx, c, whole, host)
	}
	if err == nil {
		err = m.leave(ctx, c, leaving)
	}
	if err != nil {
		return false, err
	}
	c.Stack = leaving
	if err := m.waitLBStackEnds(ctx, "lbstack ends its announcements on the local network", func(now *cutover.Cluster) string { return now.AnnouncingNodesMessage(nil) }); err != nil {
		return false, err
	}
	return true, m.changeClaims(ctx, c, (*cutover.Cluster).EndNodeRequests)
}

// gatherOnHost moves the announcements of all addresses of lbstack to one node. If this takes longer than
// spreadTimeout, it removes the requests for the node from the claims and returns a phrase about an address
// that has not moved.
func (m *migrateRun) gatherOnHost(ctx context.Context, c *cutover.Cluster, host *cutover.Host) (why string, err error) {
	if err := m.changeClaims(ctx, c, func(now *cutover.Cluster) [][2]*v1beta1.IPAddressClaim { return now.RequestNodes(host.From) }); err != nil {
		return "", err
	}
	what := fmt.Sprintf("lbstack announces the addresses of the local network from node %s", host.Name)
	fmt.Fprintf(m.Out, "%s\n", what)
	why, err = m.waitFor(ctx, what, spreadTimeout, func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		return now.UnannouncedAddressMessage(host.From), nil
	})
	if err == nil && why != "" {
		err = m.changeClaims(ctx, c, (*cutover.Cluster).EndNodeRequests)
	}
	return why, err
}

// waitAnnouncedFrom waits until MetalLB reports that it announces all addresses from the node. After joinTimeout the rollback
// goes on without the report: a speaker that is ready has announced by then, and versions before ServiceL2Status report
// nothing.
func (m *migrateRun) waitAnnouncedFrom(ctx context.Context, c *cutover.Cluster, stack *unstructured.Unstructured, host *cutover.Host) error {
	what := fmt.Sprintf("node %s: MetalLB announces the addresses of the local network", host.Name)
	fmt.Fprintf(m.Out, "%s\n", what)
	_, err := m.waitFor(ctx, what, joinTimeout, func(ctx context.Context) (string, error) {
		_, at, why, err := m.readAnnouncedFrom(ctx, c, stack)
		return cmp.Or(why, cutover.AddressElsewhereMessage(host.From, at)), err
	})
	return err
}

// waitLBStackEnds runs a step that waits until lbstack has ended announcements or sessions. The parameter
// still is a function that returns a phrase about what has not ended yet.
func (m *migrateRun) waitLBStackEnds(ctx context.Context, what string, still func(*cutover.Cluster) string) error {
	return m.runStep(ctx, what, func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		return still(now), nil
	})
}
