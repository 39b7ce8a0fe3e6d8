package netns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestMeshAmongDeadNodes: no host answers ARP for sixty peers, so that the kernel queues the datagrams
// to them. The queue must not take the room of heartbeats and handshakes.
func TestMeshAmongDeadNodes(t *testing.T) {
	b := newBed(t, "node1", "node2", "node3")
	peers := map[lb.NodeName]netip.Addr{}
	for i := range 3 {
		peers[lb.NodeName(fmt.Sprintf("node%d", i+1))] = netip.AddrFrom4([4]byte{192, 168, 1, byte(i + 1)})
	}
	for i := range 60 {
		peers[lb.NodeName(fmt.Sprintf("dead%d", i))] = netip.AddrFrom4([4]byte{192, 168, 1, byte(100 + i)})
	}
	members := map[string]*member{}
	settle := func(within time.Duration, count string) {
		t.Helper()
		begun := time.Now()
		for host, m := range members {
			eventually.Succeed(t, within, host+" has the others alive", func(context.Context) error {
				if got := m.forget(); len(got) == 0 || got[len(got)-1] != count {
					return fmt.Errorf("others that are alive: %v, want %s", got, count)
				}
				return nil
			})
		}
		t.Logf("%s others are alive after %s", count, time.Since(begun))
	}
	for _, host := range []string{"node1", "node2"} {
		members[host] = b.member(host, peers[lb.NodeName(host)], peers)
	}
	settle(20*time.Second, "1")

	// At first each is greeted three times a second; the kernel gives up after three seconds.
	b.queues("node1", 4*time.Second)
	members["node3"] = b.member("node3", peers["node3"], peers)
	settle(5*time.Second, "2")
	b.queues("node1", 4*time.Second)
	sent := b.queues("node1", 4*time.Second)
	if most := 400; sent > most {
		t.Errorf("node1 sent %d datagrams in the last 4 s, want %d at most: heartbeats for two, greetings for sixty", sent, most)
	}
	for host, m := range members {
		if got := m.forget(); slices.ContainsFunc(got, func(count string) bool { return count != "2" }) {
			t.Errorf("%s: others that are alive: %v, want 2 all the time", host, got)
		}
	}
}

// queues fails if the send queue of the mesh's socket on a host exceeds a few
// datagrams at any time, and returns how many datagrams the host has sent meanwhile.
func (b *bed) queues(host string, during time.Duration) (sent int) {
	b.Helper()
	var longest int64
	before := b.sentDatagrams(host)
	for begun := time.Now(); time.Since(begun) < during; time.Sleep(20 * time.Millisecond) {
		for _, line := range b.kernelTable(host, "udp") {
			fields := strings.Fields(line)
			if !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", meshPort)) {
				continue
			}
			queued, _, _ := strings.Cut(fields[4], ":")
			bytes, err := strconv.ParseInt(queued, 16, 64)
			if err != nil {
				b.Fatalf("reading the queue of %q: %v", line, err)
			}
			longest = max(longest, bytes)
		}
	}
	sent = b.sentDatagrams(host) - before
	b.Logf("%s: %d bytes waited at most, %d datagrams were sent in %s", host, longest, sent, during)
	if longest > 32<<10 {
		b.Errorf("%s: %d bytes waited in the socket of the mesh, want 32 KiB at most", host, longest)
	}
	return sent
}

// sentDatagrams returns how many UDP datagrams a host has sent.
func (b *bed) sentDatagrams(host string) int {
	b.Helper()
	var names []string
	for _, line := range b.kernelTable(host, "snmp") {
		fields := strings.Fields(line)
		switch {
		case fields[0] != "Udp:":
		case names == nil:
			names = fields
		default:
			count, err := strconv.Atoi(fields[slices.Index(names, "OutDatagrams")])
			if err != nil {
				b.Fatalf("reading %q: %v", line, err)
			}
			return count
		}
	}
	b.Fatal("the kernel does not count datagrams")
	return 0
}

// kernelTable returns the lines of a file in /proc/net of a host, without the first one.
func (b *bed) kernelTable(host, name string) (lines []string) {
	b.Helper()
	b.in(host, func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/" + name)
		lines = strings.Split(strings.TrimSpace(string(raw)), "\n")[1:]
		return err
	})
	return lines
}
