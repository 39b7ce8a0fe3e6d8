package kube

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nodeReader is a cache that has a Node with addresses, or fails.
type nodeReader struct {
	client.Reader
	addresses []string
	err       error
}

func (r *nodeReader) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	for _, a := range r.addresses {
		node := object.(*corev1.Node)
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return r.err
}

func TestAddressWatch(t *testing.T) {
	const before, after = "192.168.1.1", "192.168.1.9"
	for _, tt := range []struct {
		name string
		node []string // addresses of the Node
		has  bool     // an interface has the address of before
		lost time.Duration
		err  error // of the cache
		of   error // of the list of interfaces
		ends bool
	}{
		{name: "nothing has changed", node: []string{before}, has: true},
		{name: "Node and interfaces have another address", node: []string{after}, lost: time.Hour, ends: true},
		{name: "another address for a moment", node: []string{after}, lost: addressGoneAfter - time.Second},
		{name: "API server is away: the Node is as it was", node: []string{before}, lost: time.Hour},
		{name: "Node has both", node: []string{after, before}, lost: time.Hour},
		{name: "an interface has the address", node: []string{after}, has: true},
		{name: "Node has no address", lost: time.Hour},
		{name: "Node cannot be read", node: []string{after}, lost: time.Hour, err: errors.New("no cache")},
		{name: "interfaces cannot be listed", node: []string{after}, lost: time.Hour, of: errors.New("no netlink")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				start := time.Now()
				w := &addressWatcher{
					reader: &nodeReader{addresses: tt.node, err: tt.err}, self: "node1", address: netip.MustParseAddr(before), log: logr.Discard(),
					onInterface: func(netip.Addr) (bool, error) { return tt.has || time.Since(start) >= tt.lost, tt.of },
				}
				err := w.Start(ctx)
				if !tt.ends {
					if err != nil {
						t.Fatalf("got %v, want that it goes on", err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), "the node node1 now has the address "+after+", and no interface has the address "+before) {
					t.Fatalf("got %v, want an error with both addresses", err)
				}
				if took := time.Since(start); took < addressGoneAfter || took > addressGoneAfter+2*addressCheckInterval {
					t.Errorf("it ended after %s, want %s to %s", took, addressGoneAfter, addressGoneAfter+2*addressCheckInterval)
				}
			})
		})
	}
}
