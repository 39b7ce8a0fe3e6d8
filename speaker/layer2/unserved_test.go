package layer2_test

import (
	"testing"
	"testing/synctest"

	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestANodeThatCannotAnnounceOnItsLinkGivesItsAddressesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses = want(wanted(a1, self, "p1"))
		b.view.Peers = append(b.view.Peers, peer("p1", nil))
		b.inform()
		b.claims("at first", ownership.Active, ownership.Claims{a1: 1})
		b.engine.SetUnserved([]layer2.UnservedLink{{Interface: "eth0", Problem: "not permitted"}})
		b.settle()
		last := b.states[len(b.states)-1]
		b.same("the links that are published", 0, len(last.Links))
		report := b.reports[len(b.reports)-1]
		b.same("what is reported", []layer2.UnservedLink{{Interface: "eth0", Problem: "not permitted"}}, report.Unserved)
		b.receive(peer("p1", ownership.Claims{a1: 2}))
		b.same("owned addresses when another node has taken the address", 0, len(b.owned))
		b.engine.SetUnserved(nil)
		b.settle()
		b.same("the links that are published when it can", 1, len(b.states[len(b.states)-1].Links))
	})
}
