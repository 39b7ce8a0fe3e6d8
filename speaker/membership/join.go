package membership

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// rejoin is how often a peer that is no member is called again.
	rejoin = 2 * time.Second
	// tellWithin is how long a change of the links may take to be heard by
	// somebody; it goes on being told after that.
	tellWithin = time.Second
)

// Join says at which addresses the other speakers are, and that this one is
// ready to be a member. Those that are no members are called until they are; the
// call does not wait.
func (m *Mesh) Join(peers []netip.Addr) {
	for {
		select {
		case m.wanted <- peers:
			return
		case <-m.wanted: // what was said before counts no more
		}
	}
}

func (m *Mesh) keepJoining() {
	var peers []netip.Addr
	told := false
	again := time.NewTicker(rejoin)
	defer again.Stop()
	for {
		relinked := false
		select {
		case <-m.stop:
			return
		case peers = <-m.wanted:
			told = true
		case <-m.relink:
			relinked = true
		case <-again.C:
		}
		if !told {
			continue
		}
		list, opened, err := m.open()
		switch {
		case err != nil:
			m.log.Error(err, "becoming a member of the mesh; trying again")
			continue
		case list == nil:
			continue
		case relinked && !opened:
			m.tellLinks(list)
			continue
		}
		m.call(list, peers)
		m.mu.Lock()
		first := !m.joined
		m.joined = true
		m.mu.Unlock()
		if first {
			m.signal()
		}
	}
}

// open makes this speaker a member, which the others can see from then on, once
// its links are known.
func (m *Mesh) open() (list *memberlist.Memberlist, opened bool, err error) {
	m.mu.Lock()
	list, linked := m.list, m.linked
	m.mu.Unlock()
	if list != nil || !linked {
		return list, false, nil
	}
	list, err = memberlist.Create(m.config)
	if err != nil {
		return nil, false, fmt.Errorf("listening on %s: %w", net.JoinHostPort(m.config.BindAddr, strconv.Itoa(m.config.BindPort)), err)
	}
	m.mu.Lock()
	m.list = list
	m.mu.Unlock()
	return list, true, nil
}

func (m *Mesh) tellLinks(list *memberlist.Memberlist) {
	if err := list.UpdateNode(tellWithin); err != nil {
		m.log.V(1).Info("the others may not have heard of a change of the links yet", "why", err.Error())
	}
}

// call calls those of the peers that are no members, all at once: one that is
// gone costs a time-out, which must not keep the others waiting.
func (m *Mesh) call(list *memberlist.Memberlist, peers []netip.Addr) {
	var known []string
	m.mu.Lock()
	for _, member := range m.members {
		known = append(known, member.address)
	}
	m.mu.Unlock()
	var calls sync.WaitGroup
	for _, peer := range peers {
		if slices.Contains(known, peer.String()) {
			continue
		}
		calls.Go(func() {
			target := net.JoinHostPort(peer.String(), strconv.Itoa(int(m.port)))
			if _, err := list.Join([]string{target}); err != nil {
				m.log.V(1).Info("a speaker does not answer", "address", target, "why", err.Error())
			}
		})
	}
	calls.Wait()
}
