package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
)

const (
	// joinTimeout is how long the switch waits until lbstack announces the addresses that MetalLB announces. After this time the
	// switch continues in any case.
	joinTimeout = 20 * time.Second
	// steadyTime is how long lbstack must have announced these addresses before the switch continues. A
	// speaker reports a new address before it has finished asking the local network whether another host has
	// the address, which takes 0.6 s.
	steadyTime = 2 * time.Second
	// quietTime is how long the reports of MetalLB's speakers must have stayed the same before the next
	// speakers end. MetalLB reacts to the move of the previous node, and to changes of Services. lbstack's
	// controller changes Services when it has claimed their addresses, and when a node has sessions with
	// routers.
	quietTime = 5 * time.Second
	// spreadTimeout is how long the command waits until addresses have moved to other nodes. A speaker takes
	// over an address from another node only after it has run for 30 s.
	spreadTimeout = time.Minute
)

// joinAnnouncements makes lbstack announce each address of the local network from the same node as MetalLB,
// while MetalLB still announces it. If that is not possible, it prints the reason. In this case no node
// answers between the end of MetalLB's speakers and the first announcement of lbstack.
func (m *migrateRun) joinAnnouncements(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) error {
	moved, stopped := cutover.SwitchProgress(&c.Speakers[0])
	if stopped || !cutover.HasLayer2(wanted) {
		return nil
	}
	from, why, err := m.announcedFrom(ctx, c, wanted)
	if err != nil || why != "" {
		return m.printSilence(why, err)
	}
	begun, err := cutover.LimitSpeakers(&c.Speakers[0], moved)
	if err == nil {
		err = m.writeWorkload(ctx, c, &c.Speakers[0], begun)
	}
	if err == nil {
		err = m.changeClaims(ctx, c, func(now *cutover.Cluster) [][2]*v1beta1.IPAddressClaim { return now.RequestNodes(from) })
	}
	if err != nil {
		return err
	}
	part, err := cutover.WithRoutesFrom(wanted, moved)
	if err == nil {
		err = m.apply(ctx, c, cutover.WithLayer2(part, wanted))
	}
	if err != nil {
		return err
	}
	if why, err = m.waitJoined(ctx, c, wanted, from); err != nil || why == "" {
		return err
	}
	// lbstack did not announce all addresses from MetalLB's nodes in time, so it announces none of them until
	// MetalLB has ended. Otherwise some addresses would be announced from another node than MetalLB's, or
	// lbstack would hold them back because another host has them.
	if err := m.apply(ctx, c, part); err != nil {
		return err
	}
	if err := m.runStep(ctx, "lbstack ends its announcements on the local network", func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		return now.AnnouncingNodesMessage(nil), nil
	}); err != nil {
		return err
	}
	return m.printSilence(why, m.changeClaims(ctx, c, (*cutover.Cluster).EndNodeRequests))
}

// printSilence prints why no node answers on the local network in the next step, unless there is an error.
func (m *migrateRun) printSilence(why string, err error) error {
	if err == nil {
		fmt.Fprintf(m.ErrOut, "  in the next step, no node answers for addresses of the local network for some seconds: %s\n", why)
	}
	return err
}

// announcedFrom returns the node from which MetalLB announces each address, or why that is not known or not possible. It waits
// up to joinTimeout, because MetalLB's reports are out of date for a moment after a node has moved.
func (m *migrateRun) announcedFrom(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) (from map[string]string, why string, err error) {
	_, err = m.waitFor(ctx, "reading from which nodes MetalLB announces addresses", joinTimeout, func(ctx context.Context) (string, error) {
		now, at, words, err := m.readAnnouncedFrom(ctx, c, wanted)
		if err != nil {
			return "", err // the results keep the values of the last successful read
		}
		if from, why = at, words; !m.reports && len(now.Announcers) == 0 {
			return "", nil // this version of MetalLB does not report nodes: there is nothing to wait for
		}
		return why, nil
	})
	return from, why, err
}

// readAnnouncedFrom reads once from which nodes MetalLB announces addresses. The parameter c has the
// DaemonSet of MetalLB's speakers.
func (m *migrateRun) readAnnouncedFrom(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) (now *cutover.Cluster, from map[string]string, why string, err error) {
	stack, err := typedStack(wanted)
	if err != nil {
		return nil, nil, "", err
	}
	if now, err = m.readState(ctx); err == nil {
		err = m.readAnnouncers(ctx, now)
	}
	if err == nil {
		now.Pods, err = m.pods(ctx, &c.Speakers[0])
	}
	if err != nil {
		return nil, nil, "", err
	}
	endpoints, err := m.readEndpoints(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	from, why = now.AnnouncedFrom(stack, endpoints)
	return now, from, why, nil
}

// waitQuiet waits until the reports of MetalLB's speakers have not changed for quietTime, since the speakers
// then no longer process changes. If a speaker ends while it processes a change, it blocks, and is killed
// after 30 s without having left the memberlist. The other speakers take over its addresses 5 s later.
// waitQuiet also waits until lbstack may announce each address from the node in the reports. It skips this
// condition if it was not met when the switch started (gap is not empty). If the wait takes longer than
// joinTimeout and quietTime together, the switch continues.
func (m *migrateRun) waitQuiet(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) error {
	var since time.Time
	var before map[string]string
	var last string
	_, err := m.waitFor(ctx, "the reports of MetalLB's speakers do not change", joinTimeout+quietTime, func(ctx context.Context) (string, error) {
		_, from, why, err := m.readAnnouncedFrom(ctx, c, wanted)
		switch {
		case err != nil:
			return "", err
		case since.IsZero() || why != last || !maps.Equal(from, before):
			since, before, last = time.Now(), from, why
		}
		switch {
		case why != "" && m.gap == "":
			return why, nil
		case time.Since(since) < quietTime:
			return fmt.Sprintf("waiting until the reports of MetalLB's speakers have not changed for %s", quietTime), nil
		}
		return "", nil
	})
	return err
}

// waitJoined waits until lbstack and MetalLB have both announced each address from its node for steadyTime.
// The parameter from maps each address to its node. After joinTimeout waitJoined returns a phrase about what
// is missing. The phrase is empty if nothing is missing.
func (m *migrateRun) waitJoined(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured, from map[string]string) (string, error) {
	const what = "lbstack also announces the addresses of the local network, from the same nodes as MetalLB"
	fmt.Fprintf(m.Out, "%s\n", what)
	var since time.Time
	return m.waitFor(ctx, what, joinTimeout, func(ctx context.Context) (string, error) {
		now, at, words, err := m.readAnnouncedFrom(ctx, c, wanted)
		if err != nil {
			return "", err
		}
		for _, address := range slices.Sorted(maps.Keys(at)) {
			if at[address] != from[address] {
				words = cmp.Or(words, fmt.Sprintf("MetalLB has moved %s to node %s since this step began", address, at[address]))
			}
		}
		words = cmp.Or(words, now.UnannouncedAddressMessage(from))
		switch {
		case words != "":
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if words == "" && time.Since(since) < steadyTime {
			words = fmt.Sprintf("waiting until MetalLB and lbstack have announced the addresses from the same nodes for %s", steadyTime)
		}
		return words, nil
	})
}

// spreadAddresses moves addresses to other nodes if the switch has left too many of them on one node.
func (m *migrateRun) spreadAddresses(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) error {
	stack, err := typedStack(wanted)
	if err != nil {
		return err
	}
	endpoints, err := m.readEndpoints(ctx)
	if err != nil {
		return err
	}
	var to map[string]string
	if err := m.changeClaims(ctx, c, func(now *cutover.Cluster) [][2]*v1beta1.IPAddressClaim {
		if to == nil {
			to = now.SpreadNodes(stack, endpoints)
		}
		return now.RequestNodes(to)
	}); err != nil || len(to) == 0 {
		return err
	}
	const what = "lbstack spreads the addresses of the local network over nodes"
	fmt.Fprintf(m.Out, "%s\n", what)
	words, err := m.waitFor(ctx, what, spreadTimeout, func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		return now.UnannouncedAddressMessage(to), nil
	})
	if words != "" {
		fmt.Fprintf(m.ErrOut, "  some addresses have not moved within %s, and stay on their nodes: to move an address, use kubectl lbstack move\n", spreadTimeout)
	}
	return err
}

// changeClaims patches claims. The parameter changes is a function that gets the current state of the cluster
// and returns each claim before and after its change.
func (m *migrateRun) changeClaims(ctx context.Context, c *cutover.Cluster, changes func(*cutover.Cluster) [][2]*v1beta1.IPAddressClaim) error {
	return m.wait(ctx, "changing IPAddressClaims", func(ctx context.Context) (string, error) {
		if _, err := m.checkUnchanged(ctx, &c.Speakers[0]); err != nil {
			return "", err
		}
		now, err := m.readState(ctx)
		if err != nil {
			return "", err
		}
		for _, claim := range changes(now) {
			if err := client.IgnoreNotFound(m.api.Patch(ctx, claim[1], client.MergeFrom(claim[0]))); err != nil {
				return "", missingRight(err)
			}
		}
		return "", nil
	})
}
