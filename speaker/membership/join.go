package membership

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// rejoin is how often a peer that is no member is called again.
const rejoin = 2 * time.Second

// Join says at which addresses the other speakers are. Those that are no
// members are called until they are; the call does not wait.
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
		select {
		case <-m.stop:
			return
		case peers = <-m.wanted:
			told = true
		case <-again.C:
		}
		if !told {
			continue
		}
		m.call(peers)
		m.mu.Lock()
		first := !m.joined
		m.joined = true
		m.mu.Unlock()
		if first {
			m.signal()
		}
	}
}

// call calls those of the peers that are no members, all at once: one that is
// gone costs a time-out, which must not keep the others waiting.
func (m *Mesh) call(peers []netip.Addr) {
	var known []string
	for _, member := range m.list.Members() {
		known = append(known, member.Addr.String())
	}
	var calls sync.WaitGroup
	for _, peer := range peers {
		if slices.Contains(known, peer.String()) {
			continue
		}
		calls.Go(func() {
			target := net.JoinHostPort(peer.String(), strconv.Itoa(int(m.port)))
			if _, err := m.list.Join([]string{target}); err != nil {
				m.log.V(1).Info("a speaker does not answer", "address", target, "why", err.Error())
			}
		})
	}
	calls.Wait()
}
