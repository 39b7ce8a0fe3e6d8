package allocations

import (
	"fmt"
	"testing"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// One namespace cannot raise the cost of each address that becomes free without bound.
func TestWaitQueue_IsBoundedPerNamespace(t *testing.T) {
	l := with(t, "10.0.0.1/32")
	woken := map[lb.ServiceKey]int{}
	l.OnChange(func(key lb.ServiceKey) { woken[key]++ })
	request := func(namespace string, i int) ipam.Request {
		return ipam.Request{Service: lb.ServiceKey{Namespace: namespace, Name: fmt.Sprintf("s%04d", i)}, Families: []lb.Family{lb.IPv4}}
	}
	const many = 3 * maxListedPerNamespace
	for i := range many {
		l.Assign(request("greedy", i))
	}
	l.Assign(request("modest", 0))
	if n := len(l.queue.list); n != maxListedPerNamespace+1 {
		t.Errorf("in line: got %d, want %d of one namespace and 1 of the other", n, maxListedPerNamespace)
	}
	waits := 0
	for _, n := range l.CountWaiting() {
		waits += n
	}
	if waits != many {
		t.Errorf("pending: got %d, want all %d that wait", waits, many)
	}
	clear(woken)
	l.SetPools(plan(t, nil, "10.0.0.0/21"))
	if len(woken) != many+1 {
		t.Errorf("a change of pools woke %d Services, want all %d", len(woken), many+1)
	}
	for i := range many {
		if o := l.Assign(request("greedy", i)); o.Refusal != nil {
			t.Fatalf("Service %d: got %v, want an address", i, o.Refusal)
		}
	}
	l.Assign(request("modest", 0))
	if len(l.queue.at) != 0 || len(l.queue.of) != 0 {
		t.Errorf("got %d that wait and the counts %v, want nobody", len(l.queue.at), l.queue.of)
	}
}

// When a Service leaves the wait queue, the next Service of its namespace joins.
func TestWaitQueue_ServiceThatLeavesMakesRoom(t *testing.T) {
	l := with(t, "10.0.0.1/32")
	key := func(i int) lb.ServiceKey { return lb.ServiceKey{Namespace: "n", Name: fmt.Sprintf("s%04d", i)} }
	request := func(i int) ipam.Request { return ipam.Request{Service: key(i), Families: []lb.Family{lb.IPv4}} }
	for i := range maxListedPerNamespace + 3 {
		l.Assign(request(i))
	}
	next, last := key(maxListedPerNamespace+1), key(maxListedPerNamespace+2)
	if l.queue.at[next].listed || l.queue.at[last].listed {
		t.Fatal("the last two stand in line, want that there is no room")
	}
	l.Forget(key(1))
	if !l.queue.at[next].listed || l.queue.at[last].listed {
		t.Errorf("in line: got the next %v and the last %v, want the next one alone", l.queue.at[next].listed, l.queue.at[last].listed)
	}
	for range 1000 { // one that comes and goes leaves nothing behind
		l.Assign(request(-1))
		l.Forget(key(-1))
	}
	if n := len(l.queue.of["n"].apart); n > 32 {
		t.Errorf("apart: got %d, want those that wait and a few that left", n)
	}
}
