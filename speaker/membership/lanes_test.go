package membership

import (
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestOneThatDoesNotAnswerHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived, silent := make(chan letter, 100), make(chan struct{})
		l := &lanes{log: logr.Discard(), lane: map[lb.NodeName][]letter{}, deliver: func(l letter) error {
			if l.to == "dead" {
				<-silent
			}
			arrived <- l
			return nil
		}}
		for i := range byte(2 * waiting) {
			l.send(letter{to: "dead", packet: []byte{i}})
			synctest.Wait() // the first is on its way
		}
		l.send(letter{to: "alive"})
		if got := <-arrived; got.to != "alive" {
			t.Errorf("%s was told first", got.to)
		}
		close(silent)
		var got, want []byte
		for range 1 + waiting {
			next := <-arrived
			got = append(got, next.packet...)
		}
		want = append(want, 0)
		for i := range byte(waiting) {
			want = append(want, waiting+i)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what the dead one was sent, the oldest of what waited left out (-want +got):\n%s", diff)
		}
		synctest.Wait()
		if len(l.lane) > 0 || len(arrived) > 0 {
			t.Errorf("%d lanes are left, and %d letters came besides", len(l.lane), len(arrived))
		}
	})
}
