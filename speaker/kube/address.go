package kube

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// addressCheckInterval is how often the speaker checks whether its node still has its address.
	addressCheckInterval = 2 * time.Second
	// addressGoneAfter is how long the node must have been without the address before the speaker ends. A DHCP
	// client may remove the address for a moment when it renews the lease.
	addressGoneAfter = 10 * time.Second
)

// addressWatcher ends the speaker when its node has lost the address with which the speaker was started,
// since the other speakers then send to the node's new address. The kubelet then restarts the speaker with
// the new address (status.hostIP of the pod). The speaker ends only if the former address is missing both in
// the Node and on the interfaces of the machine. The Node alone is not enough, since the cached Node is out
// of date while the API server does not answer.
type addressWatcher struct {
	reader  client.Reader // from the cache
	self    lb.NodeName
	address netip.Addr
	// onInterface reports whether an interface of the machine has an address.
	onInterface func(netip.Addr) (bool, error)
	log         logr.Logger
}

// Start implements manager.Runnable.
func (w *addressWatcher) Start(ctx context.Context) error {
	tick := time.NewTicker(addressCheckInterval)
	defer tick.Stop()
	var since time.Time // when the address was missing first; zero: the node has it
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, gone, err := w.checkAddress(ctx)
		switch {
		case err != nil:
			w.log.V(1).Info("cannot check whether the node has another address", "error", err.Error())
			since = time.Time{}
		case !gone:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= addressGoneAfter:
			return fmt.Errorf("the node %s now has the address %s, and no interface has the address %s, with which the speaker was started: the speaker ends, and the kubelet restarts it with the new address",
				w.self, now, w.address)
		}
	}
}

// checkAddress returns the present address of the Node, and whether the address of the speaker is gone from
// the Node and from all interfaces.
func (w *addressWatcher) checkAddress(ctx context.Context) (now netip.Addr, gone bool, err error) {
	var node corev1.Node
	if err := w.reader.Get(ctx, client.ObjectKey{Name: string(w.self)}, &node); err != nil {
		return now, false, fmt.Errorf("reading the Node %s: %w", w.self, err)
	}
	list := apiconv.InternalIPs(&node)
	if len(list) == 0 || slices.Contains(list, w.address.Unmap()) {
		return now, false, nil
	}
	has, err := w.onInterface(w.address)
	return list[0], !has, err
}
