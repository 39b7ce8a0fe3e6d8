package netns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/speaker/probe"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestProbe_FindsTheAnsweringHost asks from node1 as kubectl lbstack who --probe does, beside the speaker of node1.
func TestProbe_FindsTheAnsweringHost(t *testing.T) {
	b := newBed(t, "node1", "node2", printer)
	b.node("node1").SetServed(own(netip.MustParseAddr("192.168.1.241")))
	speaker := b.node("node2")
	speaker.SetServed(own(vip, vip6))
	for _, address := range []netip.Addr{vip, vip6} {
		eventually.Succeed(t, 20*time.Second, "the speaker answers", func(context.Context) error {
			b.sends("node1", address)
			if got := b.neighbour("node1", address); !strings.Contains(got, speaker.link.Hardware.String()) {
				return fmt.Errorf("node1 has %q", got)
			}
			return nil
		})
	}
	taken, taken6 := netip.MustParseAddr("192.168.1.3"), netip.MustParseAddr("2001:db8::3")
	answer := func(host string) []lanprobe.Answer {
		return []lanprobe.Answer{{Interface: "eth0", HardwareAddress: b.link(host).Hardware.String()}}
	}
	tests := []struct {
		name, address string
		want          lanprobe.Result
	}{
		{"a speaker answers, by ARP", vip.String(), lanprobe.Result{Answers: answer("node2")}},
		{"a speaker answers, by NDP", vip6.String(), lanprobe.Result{Answers: answer("node2")}},
		{"the kernel of a host answers, by ARP", taken.String(), lanprobe.Result{Answers: answer(printer)}},
		{"the kernel of a host answers, by NDP", taken6.String(), lanprobe.Result{Answers: answer(printer)}},
		{"no host has it, by ARP", "192.168.1.99", lanprobe.Result{}},
		{"no host has it, by NDP", "2001:db8::99", lanprobe.Result{}},
		{"the speaker of the node that asks does not answer", "192.168.1.241", lanprobe.Result{}},
		{"the node that asks has it itself", "192.168.1.1", lanprobe.Result{Own: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text []byte
			b.in("node1", func() (err error) {
				text, err = probe.Run(context.Background(), []string{tt.address, "eth0"})
				return err
			})
			got, err := lanprobe.Decode(string(text))
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
