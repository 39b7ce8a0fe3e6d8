package ndp

import (
	"sync"

	"github.com/mdlayher/ndp"
)

// maxNonces is how many nonces of this connection are stored. They are enough for several hundred
// addresses that are probed at once: a probe that is looped back arrives soon after it was sent.
const maxNonces = 2048

// probeNonces stores the nonces of the latest probes of this connection.
type probeNonces struct {
	mu    sync.Mutex
	last  []string // a ring buffer
	next  int
	known map[string]bool
}

// newNonce returns a new nonce, for which isOwn returns true from now on.
func (n *probeNonces) newNonce() *ndp.Nonce {
	nonce := ndp.NewNonce()
	key := nonce.String()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[string]bool{}
	}
	if len(n.last) < maxNonces {
		n.last = append(n.last, key)
	} else {
		delete(n.known, n.last[n.next])
		n.last[n.next] = key
		n.next = (n.next + 1) % maxNonces
	}
	n.known[key] = true
	return nonce
}

func (n *probeNonces) isOwn(nonce *ndp.Nonce) bool {
	if nonce == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[nonce.String()]
}
