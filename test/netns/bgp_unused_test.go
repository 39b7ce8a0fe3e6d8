package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
)

// rulesetOfTheDocs returns the ruleset that docs/routing.md recommends.
func rulesetOfTheDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/routing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```nft\n")
	ruleset, _, ends := strings.Cut(rest, "```")
	if !found || !ends {
		t.Fatal("docs/routing.md has no block of nft rules")
	}
	return ruleset
}

// nft loads a ruleset on a host.
func (b *bed) nft(host, ruleset string) {
	b.Helper()
	if out, err := b.try(host, "nft", ruleset); err != nil {
		b.Fatalf("%v: %s\n%s", err, out, ruleset)
	}
}

var counted = regexp.MustCompile(`counter packets (\d+)`)

// counts returns the sum of the counters of a table.
func (b *bed) counts(host, table string) (sum int) {
	b.Helper()
	out, err := b.try(host, "nft", "list", "table", "inet", table)
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for _, found := range counted.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(found[1])
		sum += n
	}
	return sum
}

// sendTo sends one datagram from a host.
func (b *bed) sendTo(host, to string) {
	b.Helper()
	b.in(host, func() error {
		conn, err := net.Dial("udp", to)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("x"))
		return err
	})
}

// serve accepts connections on a host until the test ends.
func (b *bed) serve(host, at string) {
	b.Helper()
	b.in(host, func() error {
		listener, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		b.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		return nil
	})
}

func TestBGPUnused_RulesetOfTheDocsEndsCirclingPackets(t *testing.T) {
	b := newBed(t, "node", "router", "client", "pod")
	for _, host := range []string{"node", "router"} {
		for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
			b.sysctl(host, name, "1")
		}
		b.sysctl(host, "net.ipv4.conf.all.send_redirects", "0")
		b.sysctl(host, "net.ipv4.conf.eth0.send_redirects", "0")
	}
	b.ip("node", "route", "add", "default", "via", "192.168.1.2")
	b.ip("node", "-6", "route", "add", "default", "via", "2001:db8::2")
	for host, next := range map[string]string{"router": "1", "client": "2"} {
		b.ip(host, "route", "add", "198.51.100.0/24", "via", "192.168.1."+next)
		b.ip(host, "-6", "route", "add", "2001:db8:100::/64", "via", "2001:db8::"+next)
	}
	// As kube-proxy does it: the Service 198.51.100.10:80 has one endpoint.
	b.nft("node", `table ip proxy {
		chain prerouting { type nat hook prerouting priority dstnat; ip daddr 198.51.100.10 tcp dport 80 dnat to 192.168.1.4:8080; }
		chain postrouting { type nat hook postrouting priority srcnat; ct status dnat masquerade; }
	}`)
	b.nft("router", `table inet arrived {
		chain prerouting {
			type filter hook prerouting priority raw;
			ip daddr 198.51.100.0/24 udp dport 9 counter
			ip6 daddr 2001:db8:100::/64 udp dport 9 counter
		}
	}`)
	b.serve("pod", "192.168.1.4:8080")
	connects := func() {
		t.Helper()
		eventually.Succeed(t, soon, "the client connects to the Service", func(ctx context.Context) (err error) {
			b.in("client", func() error {
				var conn net.Conn
				if conn, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", "198.51.100.10:80"); err == nil {
					_ = conn.Close()
				}
				return nil
			})
			return err
		})
	}
	connects()
	unused := []string{"198.51.100.77:9", "198.51.100.10:9", "[2001:db8:100::77]:9"}
	for _, to := range unused {
		before := b.counts("router", "arrived")
		b.sendTo("client", to)
		eventually.Succeed(t, soon, to+" circles without the ruleset", func(context.Context) error {
			if n := b.counts("router", "arrived") - before; n < 30 {
				return fmt.Errorf("the router got it %d times", n)
			}
			return nil
		})
		t.Logf("without the ruleset the router got one packet to %s %d times", to, b.counts("router", "arrived")-before)
	}

	b.nft("node", rulesetOfTheDocs(t))
	for i, to := range unused {
		before := b.counts("router", "arrived")
		b.sendTo("client", to)
		eventually.Succeed(t, soon, to+" is rejected by the node", func(context.Context) error {
			if n := b.counts("node", "lbstack_pools"); n != i+1 {
				return fmt.Errorf("the node has rejected %d packets, want %d", n, i+1)
			}
			return nil
		})
		if n := b.counts("router", "arrived") - before; n != 1 {
			t.Errorf("%s: the router got it %d times, want once", to, n)
		}
	}
	connects()
}
