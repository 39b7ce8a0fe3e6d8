package bgp

import (
	"testing"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
)

func TestManager_SetPathNeverWaits(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	toListener.BFD = &bfd.Profile{}
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener}, has(routes.Table{one: red}))
	becomes(t, listener, "established", established) // a while after the caller: no end counts before
	since := becomes(t, caller, "established", established).Since
	key, _ := pathKey(toListener, toListener.Address)
	up := speakerbfd.Status{Status: bfd.Status{State: bfd.Up}}
	down := speakerbfd.Status{Status: bfd.Status{State: bfd.Down, Failed: true, Diagnostic: bfd.DetectionTimeExpired}}
	caller.mu.Lock() // it waits for a peer
	for _, status := range []speakerbfd.Status{up, down, up} {
		caller.StorePathStatus(key, status)
	}
	caller.mu.Unlock()
	// The next session follows within milliseconds, and leaves no error: the end stays counted.
	becomes(t, listener, "ended once for the failure that came and went", func(s Status) bool { return s.Flaps == 1 })
	becomes(t, caller, "another one", func(s Status) bool { return established(s) && !s.Since.Equal(since) })
}
