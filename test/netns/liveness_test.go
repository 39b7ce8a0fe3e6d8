package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/probe"
	"github.com/lbstack/lbstack/test/eventually"
)

const (
	// together bounds the time in which two nodes may answer for an address: a detection time of the profile Default, an
	// interval of its heartbeats, and some requests of the watch.
	together = 500 * time.Millisecond
	// unserved bounds the time in which no node answers for an address after a failure.
	unserved = time.Second
	// quiet is how long a test watches on after the last change: longer than a starting speaker waits.
	quiet = 3 * time.Second
)

var livenessAddresses = []netip.Addr{vip, netip.MustParseAddr("192.168.1.241"), netip.MustParseAddr("192.168.1.242")}

// stalled is the longest time since a time in which the kernel of the gateway did not answer.
func (c *cluster) stalled(since time.Time) time.Duration { return c.Since(since, gateway).Silent }

// twoOwners returns an error if two nodes have answered for an address for too long since a time, or if a node has reported a
// conflict.
func (c *cluster) twoOwners(since time.Time) error {
	most := together + c.stalled(since)
	for _, address := range c.watched() {
		if got := c.Since(since, address.String()); got.Both > most {
			return fmt.Errorf("%s: two nodes answered for %s, want %s at most: %+v", address, got.Both, most, got)
		}
	}
	for node, s := range c.speakers {
		if r, err := s.last(); err == nil && len(r.Conflicts) > 0 {
			return fmt.Errorf("%s reported conflicts: %+v", node, r.Conflicts)
		}
	}
	return nil
}

// oneOwner checks for some time that twoOwners returns no error.
func (c *cluster) oneOwner(since time.Time) {
	c.Helper()
	eventually.Stays(c.T, quiet, "one node answers for each address", func(context.Context) error { return c.twoOwners(since) })
	for _, address := range c.watched() {
		got := c.Since(since, address.String())
		c.Logf("%s: no answer for %d ms, answers of two nodes for %d ms; the longest stall was %d ms", address, got.Silent.Milliseconds(), got.Both.Milliseconds(), c.stalled(since).Milliseconds())
	}
}

// served checks that no address was without an answer for too long since a time.
func (c *cluster) served(since time.Time) {
	c.Helper()
	most := unserved + c.stalled(since)
	for _, address := range c.watched() {
		if got := c.Since(since, address.String()); got.Silent > most {
			c.Errorf("%s: no node answered for %s, want %s at most: %+v", address, got.Silent, most, got)
		}
	}
}

// answered returns the nodes that have answered for an address since a time, in the order of their first answers.
func (c *cluster) answered(address netip.Addr, since time.Time) (nodes []string) {
	for _, mac := range c.Since(since, address.String()).Owners {
		nodes = append(nodes, c.macs[mac])
	}
	return nodes
}

// keep checks that the owners, and no other node, have answered since a time.
func (c *cluster) keep(owners map[netip.Addr]string, since time.Time) {
	c.Helper()
	for address, owner := range owners {
		if got := c.answered(address, since); !slices.Equal(got, []string{owner}) {
			c.Errorf("%s: answers of %v, want answers of %s alone", address, got, owner)
		}
	}
}

// startAll starts speakers and waits until each address has an owner.
func (c *cluster) startAll(nodes ...string) (owners map[netip.Addr]string) {
	c.Helper()
	for _, node := range nodes {
		c.start(node, nil)
	}
	for _, node := range nodes {
		c.speakers[node].becomes("all are alive", func(r speakerReport) bool { return r.Live == len(nodes) })
	}
	return c.settled(anyNode)
}

// filter drops the datagrams of the mesh that come to a node, and those that the node sends. The returned function undoes it.
func (c *cluster) filter(node string) (undo func()) {
	c.Helper()
	nft := func(command string) {
		c.Helper()
		if out, err := c.try(node, "nft", command); err != nil {
			c.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	nft(fmt.Sprintf("table inet firewall { chain in { type filter hook input priority 0; udp dport %d drop; }; chain out { type filter hook output priority 0; udp dport %[1]d drop; }; }", meshPort))
	return func() { nft("delete table inet firewall") }
}

func anotherKey(c *speakerConfig) { c.Key = 8 }

func inMinority(r speakerReport) bool { return r.Minority && r.Live == 1 }

// inMajority reports whether a speaker receives from all others and announces.
func inMajority(r speakerReport) bool {
	return !r.Minority && r.Live == len(nodeNames) && r.Phase == ownership.Active.String()
}

func TestLivenessFirstStartWithoutContact(t *testing.T) {
	for _, tt := range []struct {
		name   string
		filter bool
		change func(*speakerConfig)
	}{
		{"the port of the mesh is filtered", true, nil},
		{"another key", false, anotherKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, livenessAddresses...)
			owners, undo := c.startAll("node1", "node2"), func() {}
			begun := time.Now()
			if tt.filter {
				undo = c.filter("node3")
			}
			three := c.start("node3", tt.change)
			three.becomes("it is in a minority", inMinority)
			c.oneOwner(begun)
			if tt.filter {
				undo()
				three.becomes("it receives from the others", inMajority)
				c.oneOwner(begun)
			}
			c.keep(owners, begun)
			c.served(begun)
		})
	}
}

// TestLivenessAllStartWithoutContact: no speaker has received from another one, and no address has an owner.
func TestLivenessAllStartWithoutContact(t *testing.T) {
	t.Parallel()
	c := newCluster(t, livenessAddresses...)
	undo := c.filter("node3")
	begun := time.Now()
	for _, node := range nodeNames {
		c.start(node, nil)
	}
	c.speakers["node3"].becomes("it is in a minority", inMinority)
	c.settled(anyNode)
	c.oneOwner(begun)
	served := time.Now()
	undo()
	c.speakers["node3"].becomes("it receives from the others", inMajority)
	c.oneOwner(begun)
	c.served(served)
}

func TestLivenessRestartWithAnotherKey(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(*speakerProcess) error
		keeps bool // others answer for the node, with its hardware address
	}{
		{"killed", func(s *speakerProcess) error { s.kill(); return nil }, false},
		{"restarted", func(s *speakerProcess) error { return s.leave() }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, livenessAddresses...)
			node := c.startAll(nodeNames...)[vip]
			c.stored()
			begun := time.Now()
			if err := tt.end(c.speakers[node]); err != nil {
				t.Error(err)
			}
			owners, started := c.settled(func(owner string) bool { return tt.keeps || owner != node }), time.Now()
			c.start(node, anotherKey).becomes("it is in a minority", inMinority)
			c.oneOwner(begun)
			c.keep(owners, started)
			c.served(begun)
		})
	}
}

func TestLivenessOneOfThreeIsLeft(t *testing.T) {
	t.Parallel()
	c := newCluster(t, append(slices.Clone(livenessAddresses), vip6)...)
	dead := []string{c.startAll(nodeNames...)[vip]}
	left := slices.DeleteFunc(slices.Clone(nodeNames), func(node string) bool { return node == dead[0] })
	dead, left = append(dead, left[1]), left[:1]
	begun := time.Now()
	for _, node := range dead {
		c.ip("lan", "link", "set", node, "down") // the kernel is dead as well
		c.speakers[node].kill()
	}
	c.speakers[left[0]].becomes("it has all addresses", func(r speakerReport) bool { return len(r.Owned) == len(c.addresses) })
	c.settled(func(owner string) bool { return owner == left[0] })
	c.oneOwner(begun)
	c.served(begun)
	var text []byte
	c.in("client", func() (err error) {
		text, err = probe.Run(context.Background(), []string{vip6.String(), "eth0"})
		return err
	})
	got, err := lanprobe.Decode(string(text))
	if err != nil || len(got.Answers) != 1 || c.macs[got.Answers[0].HardwareAddress] != left[0] {
		t.Errorf("%s: got %+v and the error %v, want an answer of %s", vip6, got, err, left[0])
	}
}

func TestLivenessNodeThatWasIsolatedIsSilent(t *testing.T) {
	for _, tt := range []struct {
		name      string
		cut, join []string // of the port of the node
	}{
		{"no carrier", []string{"down"}, []string{"up"}},
		{"with a carrier", []string{"nomaster"}, []string{"master", "br0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, livenessAddresses...)
			node := c.startAll(nodeNames...)[vip]
			port := []string{"link", "set", node}
			begun := time.Now()
			c.ip("lan", append(port, tt.cut...)...)
			c.speakers[node].becomes("it is isolated", func(r speakerReport) bool { return r.Phase == ownership.Isolated.String() })
			owners, joined := c.settled(func(owner string) bool { return owner != node }), time.Now()
			c.ip("lan", append(port, tt.join...)...)
			c.speakers[node].becomes("it receives from the others", inMajority)
			c.oneOwner(begun)
			c.keep(owners, joined)
			c.served(begun)
		})
	}
}

func TestLivenessPortIsInUse(t *testing.T) {
	t.Parallel()
	c := newCluster(t, livenessAddresses...)
	var taken net.PacketConn
	c.in("node1", func() (err error) {
		taken, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", meshPort))
		return err
	})
	defer taken.Close()
	one := c.start("node1", nil)
	if err := one.leave(); err == nil {
		t.Error("the speaker did not end with an error")
	}
	if got, want := one.wrong.String(), fmt.Sprintf("listening on UDP address 192.168.1.1:%d: ", meshPort); !strings.Contains(got, want) || !strings.Contains(got, "address already in use") {
		t.Errorf("got %q, want the address and the reason", got)
	}
}

// TestLivenessAllRestartAtOnce restarts all speakers while the API server is away. The owners are from the checkpoints: node3
// started last and has no address, and an election would give it one.
func TestLivenessAllRestartAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, livenessAddresses...)
	owners := c.startAll("node1", "node2")
	allAlive := func() {
		for _, s := range c.speakers {
			s.becomes("all are alive", inMajority)
		}
	}
	c.start("node3", nil)
	allAlive()
	c.stored()
	begun := time.Now()
	for _, s := range c.speakers {
		s.kill()
	}
	for _, node := range nodeNames {
		c.start(node, func(s *speakerConfig) { s.Away = true })
	}
	allAlive()
	c.settled(anyNode)
	c.oneOwner(begun)
	c.keep(owners, begun)
}

// TestLivenessCheckpointAndFirstElection starts two speakers at the same time. Both take addresses with the first epoch: node3
// resumes those of its checkpoint, and node1 is elected, since it has not received yet that they have an owner.
func TestLivenessCheckpointAndFirstElection(t *testing.T) {
	var addresses []netip.Addr
	for a := vip; len(addresses) < 3; a = a.Next() {
		if election.ComesBefore(a, "node1", "node3") {
			addresses = append(addresses, a)
		}
	}
	for round := range 3 { // which claim arrives first is a matter of chance
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, addresses...)
			delete(c.config.Hosts, "node2")
			store, _ := checkpoint.Open(c.config.Folder, "node3", logr.Discard())
			claims, owners := ownership.Claims{}, map[netip.Addr]string{}
			for _, address := range addresses {
				claims[address], owners[address] = 1, "node3"
			}
			store.SaveEngine(layer2.Checkpoint{Snapshot: c.config.snapshot(), Claims: claims})
			store.Flush()
			begun := time.Now()
			c.startAll("node1", "node3")
			c.oneOwner(begun)
			c.keep(owners, begun)
		})
	}
}
