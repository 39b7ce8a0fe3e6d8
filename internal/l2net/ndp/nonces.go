package ndp

import (
	"sync"

	"github.com/mdlayher/ndp"
)

// remembered is how many nonces of our own are known: those of some hundred
// addresses that are probed at once. What comes back, comes back soon.
const remembered = 2048

// nonces knows the probes that were sent from here.
type nonces struct {
	mu    sync.Mutex
	last  []string // a ring
	next  int
	known map[string]bool
}

// fresh returns a nonce that is recognized from now on.
func (n *nonces) fresh() *ndp.Nonce {
	nonce := ndp.NewNonce()
	key := nonce.String()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[string]bool{}
	}
	if len(n.last) < remembered {
		n.last = append(n.last, key)
	} else {
		delete(n.known, n.last[n.next])
		n.last[n.next] = key
		n.next = (n.next + 1) % remembered
	}
	n.known[key] = true
	return nonce
}

func (n *nonces) own(nonce *ndp.Nonce) bool {
	if nonce == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[nonce.String()]
}
