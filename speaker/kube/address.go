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
	// addressEvery is how often the speaker looks whether its node has another address.
	addressEvery = 2 * time.Second
	// addressGone is for how long the node must have another one. A DHCP client takes an
	// address away for a moment when it renews it.
	addressGone = 10 * time.Second
)

// addressWatch ends the speaker when the address that it was started with is not one of its node
// any more: the other speakers look for it at the new one. The kubelet starts it again with that
// (status.hostIP of the pod). It ends only if both the Node and the interfaces of the machine have
// changed: while the API server is away, the Node is as it was.
type addressWatch struct {
	reader  client.Reader // from the cache
	self    lb.NodeName
	address netip.Addr
	// onInterface returns whether an interface of the machine has an address.
	onInterface func(netip.Addr) (bool, error)
	log         logr.Logger
}

// Start implements manager.Runnable.
func (w *addressWatch) Start(ctx context.Context) error {
	tick := time.NewTicker(addressEvery)
	defer tick.Stop()
	var since time.Time // when both had changed; zero: they have not
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, gone, err := w.look(ctx)
		switch {
		case err != nil:
			w.log.V(1).Info("whether the node has another address is not known", "why", err.Error())
			since = time.Time{}
		case !gone:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= addressGone:
			return fmt.Errorf("the node %s: its address is %s now, and no interface has %s any more, with which the speaker was started: it ends, and the next one uses the new address",
				w.self, now, w.address)
		}
	}
}

// look returns the address of the Node and whether it has replaced that of the speaker, which no
// interface has.
func (w *addressWatch) look(ctx context.Context) (now netip.Addr, gone bool, err error) {
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
