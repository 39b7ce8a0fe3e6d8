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
	// joining is how long lbstack has to announce the addresses that MetalLB announces, before the switch does without.
	joining = 20 * time.Second
	// steady is how long it has to have announced them: a speaker owns a new address before it has asked the segment for it, which
	// takes 0.6 s.
	steady = 2 * time.Second
	// quiet is how long MetalLB's speakers have to report the same. They follow changes of Services: those that lbstack's controller
	// writes when it has claimed their addresses, or has sessions from a node, and those of addresses of the node before.
	quiet = 5 * time.Second
	// spreading is how long addresses have to move: nodes whose speakers have just started do nothing before they have run for 30 s.
	spreading = time.Minute
)

// join has lbstack announce each address of the local network from the node where MetalLB does, while MetalLB goes on. If that
// is not possible, it prints why, and nobody answers between the end of MetalLB's speakers and the begin of lbstack's announcing.
func (m *migrating) join(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) error {
	moved, stopped := cutover.Left(&c.Speakers[0])
	if stopped || !cutover.HasLayer2(wanted) {
		return nil
	}
	from, why, err := m.from(ctx, wanted)
	if err != nil || why != "" {
		return m.without(why, err)
	}
	begun, err := cutover.Limited(&c.Speakers[0], moved)
	if err == nil {
		err = m.write(ctx, c, &c.Speakers[0], begun)
	}
	if err == nil {
		err = m.changeClaims(ctx, c, func(now *cutover.Cluster) [][2]*v1beta1.IPAddressClaim { return now.Ask(from) })
	}
	if err != nil {
		return err
	}
	part, err := cutover.Routed(wanted, moved)
	if err == nil {
		err = m.apply(ctx, c, cutover.WithLayer2(part, wanted))
	}
	if err != nil {
		return err
	}
	if why, err = m.joined(ctx, wanted, from); err != nil || why == "" {
		return err
	}
	// What is announced from elsewhere, or waits for its address, must not be so when MetalLB ends.
	if err := m.apply(ctx, c, part); err != nil {
		return err
	}
	if err := m.step(ctx, "lbstack ends its announcements on the local network", func(ctx context.Context) (string, error) {
		now, err := m.state(ctx)
		if err != nil {
			return "", err
		}
		return now.Announcing(nil), nil
	}); err != nil {
		return err
	}
	return m.without(why, m.changeClaims(ctx, c, (*cutover.Cluster).AskNoMore))
}

func (m *migrating) without(why string, err error) error {
	if err == nil {
		fmt.Fprintf(m.ErrOut, "  nobody answers on the local network in the next step for some seconds: %s\n", why)
	}
	return err
}

// from returns where MetalLB announces addresses. While a node moves, MetalLB's reports are those of before for a moment.
func (m *migrating) from(ctx context.Context, wanted *unstructured.Unstructured) (from map[string]string, why string, err error) {
	_, err = m.waitFor(ctx, "looking where MetalLB announces addresses", joining, func(ctx context.Context) (string, error) {
		now, at, words, err := m.reported(ctx, wanted)
		if err != nil {
			return "", err // the last answer stays
		}
		if from, why = at, words; !m.reports && len(now.Announcers) == 0 {
			return "", nil // a version that does not report it
		}
		return why, nil
	})
	return from, why, err
}

// reported looks once where MetalLB announces addresses.
func (m *migrating) reported(ctx context.Context, wanted *unstructured.Unstructured) (now *cutover.Cluster, from map[string]string, why string, err error) {
	stack, err := typed(wanted)
	if err != nil {
		return nil, nil, "", err
	}
	if now, err = m.state(ctx); err == nil {
		err = m.announcers(ctx, now)
	}
	if err != nil {
		return nil, nil, "", err
	}
	endpoints, err := m.endpoints(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	from, why = now.From(stack, endpoints)
	return now, from, why, nil
}

// calm waits until MetalLB's speakers have reported the same for a while, so that they have nothing to do: one that ends in the middle
// of a change blocks, ends after 30 s without leaving the others, and they take its addresses over 5 s later. If that takes too
// long, the switch goes on.
func (m *migrating) calm(ctx context.Context, wanted *unstructured.Unstructured) error {
	var since time.Time
	var before map[string]string
	var last string
	_, err := m.waitFor(ctx, "MetalLB's speakers have nothing to do", joining+quiet, func(ctx context.Context) (string, error) {
		_, from, why, err := m.reported(ctx, wanted)
		switch {
		case err != nil:
			return "", err
		case since.IsZero() || why != last || !maps.Equal(from, before):
			since, before, last = time.Now(), from, why
		}
		switch {
		case why != "" && m.gap == "":
			return why, nil
		case time.Since(since) < quiet:
			return fmt.Sprintf("MetalLB's speakers have to report the same for %s", quiet), nil
		}
		return "", nil
	})
	return err
}

// joined waits until lbstack announces addresses from the nodes in from, and MetalLB still does, and returns what is not so after joining.
func (m *migrating) joined(ctx context.Context, wanted *unstructured.Unstructured, from map[string]string) (string, error) {
	const what = "lbstack announces addresses of the local network as well, from the nodes of MetalLB"
	fmt.Fprintf(m.Out, "%s\n", what)
	var since time.Time
	return m.waitFor(ctx, what, joining, func(ctx context.Context) (string, error) {
		now, at, words, err := m.reported(ctx, wanted)
		if err != nil {
			return "", err
		}
		for _, address := range slices.Sorted(maps.Keys(at)) {
			if at[address] != from[address] {
				words = cmp.Or(words, fmt.Sprintf("MetalLB announces %s from node %s since this step has begun", address, at[address]))
			}
		}
		words = cmp.Or(words, now.Apart(from))
		switch {
		case words != "":
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if words == "" && time.Since(since) < steady {
			words = fmt.Sprintf("it has to do so for %s", steady)
		}
		return words, nil
	})
}

// spread has addresses move away from a node that has too many of them since the switch.
func (m *migrating) spread(ctx context.Context, c *cutover.Cluster, wanted *unstructured.Unstructured) error {
	stack, err := typed(wanted)
	if err != nil {
		return err
	}
	endpoints, err := m.endpoints(ctx)
	if err != nil {
		return err
	}
	var to map[string]string
	if err := m.changeClaims(ctx, c, func(now *cutover.Cluster) [][2]*v1beta1.IPAddressClaim {
		if to == nil {
			to = now.Spread(stack, endpoints)
		}
		return now.Ask(to)
	}); err != nil || len(to) == 0 {
		return err
	}
	const what = "lbstack spreads the addresses of the local network over nodes"
	fmt.Fprintf(m.Out, "%s\n", what)
	words, err := m.waitFor(ctx, what, spreading, func(ctx context.Context) (string, error) {
		now, err := m.state(ctx)
		if err != nil {
			return "", err
		}
		return now.Apart(to), nil
	})
	if words != "" {
		fmt.Fprintf(m.ErrOut, "  not within %s: they stay where they are: kubectl lbstack move has a node announce an address\n", spreading)
	}
	return err
}

// changeClaims patches claims.
func (m *migrating) changeClaims(ctx context.Context, c *cutover.Cluster, changes func(*cutover.Cluster) [][2]*v1beta1.IPAddressClaim) error {
	return m.wait(ctx, "changing claims", func(ctx context.Context) (string, error) {
		if _, err := m.asLeft(ctx, &c.Speakers[0]); err != nil {
			return "", err
		}
		now, err := m.state(ctx)
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
