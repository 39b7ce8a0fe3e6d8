// Package netstate follows the network interfaces of this node and their addresses by netlink. The package
// lists the addresses, and then applies the events of the kernel. It lists the addresses again only after
// events were lost, since the cost of a list grows with its length. Other programs, such as kube-proxy in its
// IPVS mode, can add thousands of addresses. speaker/links and speaker/bgp use the package.
package netstate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/backoff"
)

const (
	// restFactor bounds the share of time that reading the state takes: the pause after a read is at
	// least the duration of the read times restFactor.
	restFactor = 4
	// listInterval is the least time between two lists of all addresses. The addresses are listed again after
	// the kernel has dropped events that came faster than they were read.
	listInterval = time.Second
	// maxListAttempts bounds the attempts to read a list that changes while it is read.
	maxListAttempts = 10
	// maxQueuedReads is how many results of socket reads can wait until followEvents applies them; further
	// events wait in the buffer of the socket.
	maxQueuedReads = 256
	// socketBufferBytes is the size of the buffer of the socket, if the kernel allows that much.
	socketBufferBytes = 1 << 20
)

// retryBackoff is how long to wait before subscribing again. After a subscription that lasted longer than
// twice the longest wait, the next wait is the shortest one again.
var retryBackoff = backoff.Exponential{First: time.Second, Last: 30 * time.Second}

// Watcher calls Look with the state of the interfaces and addresses. All exported fields but
// List have to be set.
type Watcher struct {
	Log logr.Logger
	// Settle is how long events are collected before Look is called.
	Settle time.Duration
	// Look is called with the state, at first and after each change. It must not block.
	Look func(State)
	// List returns the addresses of all interfaces; nil: they are read from the kernel.
	List func() ([]netlink.Addr, error)
	// links returns the interfaces. Run sets it.
	links func() ([]netlink.Link, error)
}

// Run watches until the context ends. After a failure it subscribes again.
func (w Watcher) Run(ctx context.Context) {
	if w.List == nil {
		w.List = listAddresses
	}
	w.links = netlink.LinkList
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		if err := w.watchUntilFailure(ctx); err != nil && ctx.Err() == nil {
			w.Log.Error(err, "watching the network interfaces failed; trying again")
		}
		if time.Since(began) > 2*retryBackoff.Last {
			failures = 1
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryBackoff.Wait(failures)):
		}
	}
}

// Read returns the present state. The error wraps netlink.ErrDumpInterrupted if the state
// changes faster than the kernel can list it.
func Read() (State, error) {
	r := stateReading{list: listAddresses, listLinks: netlink.LinkList, table: addressTable{}, relink: true, relist: true}
	if err := r.read(); err != nil {
		return State{}, err
	}
	return r.state(), nil
}

func listAddresses() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) }

// receivedEvents is what one read of the socket returned.
type receivedEvents struct {
	events []addressEvent
	links  bool // interfaces have changed
	lost   bool // the kernel dropped events, or one could not be decoded
}

func (w Watcher) watchUntilFailure(ctx context.Context) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("subscribing to events of interfaces and addresses: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, socket.Close)()
	defer socket.Close()
	if socket.SetReceiveBufferSize(socketBufferBytes, true) != nil { // needs NET_ADMIN
		_ = socket.SetReceiveBufferSize(socketBufferBytes, false) // as much as net.core.rmem_max allows
	}
	incoming, failed := make(chan receivedEvents, maxQueuedReads), make(chan error, 1)
	go func() { failed <- receiveEvents(ctx, socket, incoming) }()
	return w.followEvents(ctx, incoming, failed)
}

// followEvents lists the state, and then applies the events that are received. An event from before the list
// may be applied after it. The result is still correct: all later events of the same address are applied too,
// and the last one decides.
func (w Watcher) followEvents(ctx context.Context, incoming <-chan receivedEvents, failed <-chan error) error {
	r := stateReading{list: w.List, listLinks: w.links, table: addressTable{}, relink: true, relist: true}
	due := time.NewTimer(0)
	defer due.Stop()
	var soonest, planned time.Time // the earliest time for the next read, and the planned time
	plan := func() {
		at := laterTime(time.Now().Add(w.Settle), soonest)
		switch {
		case r.changed || r.relink:
		case r.relist:
			at = laterTime(at, r.listAfter)
		default:
			return
		}
		if planned.IsZero() || at.Before(planned) {
			planned = at
			due.Reset(time.Until(at))
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case n := <-incoming:
			r.apply(n)
			plan()
			continue
		case <-due.C:
			planned = time.Time{}
		}
		began := time.Now()
		err := r.read()
		switch {
		case errors.Is(err, netlink.ErrDumpInterrupted): // the state stays as it was
		case err != nil:
			return err
		case r.changed:
			r.changed = false
			w.Look(r.state())
		}
		soonest = time.Now().Add(restFactor * time.Since(began))
		plan()
	}
}

func laterTime(x, y time.Time) time.Time {
	if x.Before(y) {
		return y
	}
	return x
}

// receiveEvents passes on the events of the kernel until the socket fails or the context ends.
func receiveEvents(ctx context.Context, socket *nl.NetlinkSocket, incoming chan<- receivedEvents) error {
	for {
		messages, from, err := socket.Receive()
		var n receivedEvents
		switch {
		case errors.Is(err, unix.ENOBUFS):
			n.lost, n.links = true, true
		case err != nil:
			return fmt.Errorf("receiving events of interfaces and addresses: %w", err)
		case from.Pid != nl.PidKernel:
			continue
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK:
				n.links = true
			case unix.RTM_NEWADDR, unix.RTM_DELADDR:
				e, ok := decodeEvent(m.Header.Type, m.Data)
				if n.lost = n.lost || !ok; ok {
					n.events = append(n.events, e)
				}
			}
		}
		select {
		case incoming <- n:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stateReading is the state that was read last, and which of its parts have to be read again.
type stateReading struct {
	list      func() ([]netlink.Addr, error)
	listLinks func() ([]netlink.Link, error)
	links     []netlink.Link
	table     addressTable
	relink    bool      // read the interfaces
	relist    bool      // read the addresses
	listAfter time.Time // the addresses are not read before this time
	changed   bool      // the state has changed since the last call of Look
}

func (r *stateReading) apply(n receivedEvents) {
	for _, e := range n.events {
		if r.table.apply(e) {
			r.changed = true
		}
	}
	r.relink, r.relist = r.relink || n.links, r.relist || n.lost
}

// read reads the parts that have to be read again. It reads the interfaces last: if the interface of an
// address is not among them, that interface is gone.
func (r *stateReading) read() error {
	if r.relist && !time.Now().Before(r.listAfter) {
		addresses, err := readUninterrupted(r.list)
		r.listAfter = time.Now().Add(listInterval)
		if err != nil {
			return fmt.Errorf("listing the addresses of the interfaces: %w", err)
		}
		r.relist = false
		r.changed = r.table.replaceAll(addresses) || r.changed
	}
	if r.relink {
		links, err := readUninterrupted(r.listLinks)
		if err != nil {
			return fmt.Errorf("listing the interfaces: %w", err)
		}
		r.relink, r.changed, r.links = false, true, links
		r.table.retainLinks(links)
	}
	return nil
}

func (r *stateReading) state() State { return State{Links: r.links, Addresses: r.table.addresses()} }

// readUninterrupted reads a list again, at most maxListAttempts times, until the kernel reports no change
// during the read. A list that changed during the read may lack addresses that exist.
func readUninterrupted[T any](read func() ([]T, error)) (list []T, err error) {
	for range maxListAttempts {
		if list, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}
