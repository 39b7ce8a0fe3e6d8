package mesh

import (
	"testing"
	"time"
)

// Of thirty speakers, most pairs do not watch each other, so that no speaker suspects those which n1 does
// not reach. Their addresses must stay with them when n1 starts.
func TestSpeakerStartsWithoutAPathToUnwatchedPeers(t *testing.T) {
	play(t, 1, 30, 60, func(t *testing.T, w *world) {
		before := settled(t, w)
		beyond := w.names[1:6]
		for _, other := range beyond {
			w.cutFrom("n1", other)
			w.cutFrom(other, "n1")
		}
		w.pass(time.Second)
		w.crash("n1", true)
		w.pass(time.Second)
		w.run("n1")
		w.pass(startWait + 2*time.Second)
		for a, owner := range settled(t, w) {
			if before[a] != "n1" && before[a] != owner {
				t.Errorf("%s moved from %s to %s, which can reach all but n1", a, before[a], owner)
			}
		}
		for _, other := range beyond {
			w.crash(other, true)
		}
		w.pass(2 * time.Second)
		settled(t, w)
	})
}
