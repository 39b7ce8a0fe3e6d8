package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable_MediansAndRatios(t *testing.T) {
	ours, theirs := &peer{name: "lbstack"}, &peer{name: "MetalLB"}
	var tab table
	for _, x := range []float64{3, 1, 2} {
		tab.add(ours, "failover (ms)", x)
	}
	for _, x := range []float64{1000.4, 10.25} {
		tab.add(theirs, "failover (ms)", x)
	}
	tab.add(ours, "lost (ms)", 0)
	tab.add(theirs, "lost (ms)", 0.125)
	want := `| what | load balancer | measured | best | median | worst | median / lbstack's |
|---|---|---|---|---|---|---|
| failover (ms) | lbstack | 3 | 1 | 2 | 3 |  |
| failover (ms) | MetalLB | 2 | 10.2 | 505 | 1000 | 253 |
| lost (ms) | lbstack | 1 | 0 | 0 | 0 |  |
| lost (ms) | MetalLB | 1 | 0.12 | 0.12 | 0.12 |  |
`
	if diff := cmp.Diff(want, tab.markdown()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTable_NothingMeasuredPrintsNothing(t *testing.T) {
	if got := (&table{}).markdown(); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
