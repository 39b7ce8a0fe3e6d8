package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
)

func TestANodeThatIsNoCandidateAnyMoreAnnouncesNowhereNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.links = append(b.links, eth("eth1", 2))
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), []mesh.Peer{peer("p1", nil)}
		b.want.Addresses[0].Candidates[0].Interfaces = []string{"eth1"}
		b.inform()
		b.same("at first", []string{"eth1"}, b.owned[a1].Interfaces)
		b.want.Addresses = want(wanted(a1, "p1"))
		b.inform()
		b.same("until p1 claims it", []string{"eth1"}, b.owned[a1].Interfaces)
	})
}

func TestRestart_WhileIsolatedDoesNotPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
		b.engine.Restart(t.Context(), time.Minute)
		b.lose("p1", "p2")
		b.view.Missing = nil
		b.receive(peer("p1", nil), peer("p2", nil))
	})
}

func TestRestart_SecondOneIsPublishedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)))
		b.engine.Restart(t.Context(), time.Minute)
		returned := make(chan struct{})
		go func() { b.engine.Restart(t.Context(), time.Hour); close(returned) }()
		b.after(time.Second)
		select {
		case <-returned:
		default:
			t.Error("the second call did not return")
		}
	})
}

func TestStart_PublishesChangedLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Missing = want(wanted(a1, self)), missing(lb.NodeName("p1"))
		b.inform()
		b.engine.SetLinks(nil)
		b.after(time.Second)
		b.same("the links that were published last", 0, len(b.states[len(b.states)-1].Links))
	})
}
