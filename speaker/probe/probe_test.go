package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	address = netip.MustParseAddr("192.0.2.1")
	first   = packet.MAC{2, 0, 0, 0, 0, 1}
	second  = packet.MAC{2, 0, 0, 0, 0, 2}
)

// lan is a connection to a network whose hosts answer the nth request, from 1 on, with messages.
type lan struct {
	responder.Conn // methods that nobody calls
	answers        func(n int) []packet.Message
	refuses        error

	mu       sync.Mutex
	requests int
	messages chan packet.Message
	closed   chan struct{}
}

func (*lan) Watch([]netip.Addr) error { return nil }
func (l *lan) Close() error           { close(l.closed); return nil }
func (l *lan) Probe(netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses != nil {
		return l.refuses
	}
	l.requests++
	if l.answers != nil {
		for _, m := range l.answers(l.requests) {
			l.messages <- m
		}
	}
	return nil
}

func (l *lan) Read() (packet.Message, bool, error) {
	select {
	case m := <-l.messages:
		return m, m.Sender != packet.MAC{}, nil
	case <-l.closed:
		return packet.Message{}, false, net.ErrClosed
	}
}

func from(sender packet.MAC) packet.Message { return packet.Message{Claims: address, Sender: sender} }

func TestAsk(t *testing.T) {
	up := layer2.Link{Name: "eth0", IPv4: true}
	many := func(int) (all []packet.Message) {
		for i := range 100 {
			all = append(all, from(packet.MAC{2, 0, 0, 0, 1, byte(i)}))
		}
		return all
	}
	always := func(m ...packet.Message) func(int) []packet.Message { return func(int) []packet.Message { return m } }
	tests := []struct {
		name    string
		link    layer2.Link
		lan     *lan
		answers string // hardware addresses, and via
		problem string
		asked   int
	}{
		{"no host has it: three requests", up, &lan{}, "", "", 3},
		{"one host answers each request: it is listed once", up, &lan{answers: always(from(first))}, "02:00:00:00:00:01", "", 3},
		{"two hosts: both are listed", up, &lan{answers: always(from(first), from(second))}, "02:00:00:00:00:01 02:00:00:00:00:02", "", 3},
		{"the first requests are lost: the last one is answered", up, &lan{answers: func(n int) []packet.Message { return always(from(first))(n)[:n/3] }}, "02:00:00:00:00:01", "", 3},
		{"a host answers on behalf of another one", up, &lan{answers: always(packet.Message{Claims: address, Sender: first, Via: second})}, "02:00:00:00:00:01 by 02:00:00:00:00:02", "", 3},
		{"messages about others, and malformed ones: no answer", up, &lan{answers: always(packet.Message{Claims: address.Next(), Sender: first}, packet.Message{Asks: address, Sender: first}, packet.Message{})}, "", "", 3},
		{"a host invents hundreds: the list is bounded", up, &lan{answers: many}, "16", "", 3},
		{"the interface is absent", layer2.Link{Name: "eth1", IPv4: true}, &lan{}, "", "eth0: the interface is not up", 0},
		{"the interface has no address of the family", layer2.Link{Name: "eth0"}, &lan{}, "", "eth0: the interface is not up", 0},
		{"the network does not take requests", up, &lan{refuses: errors.New("network is down")}, "", "eth0: network is down", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := tt.lan
				conn.messages, conn.closed = make(chan packet.Message, 1000), make(chan struct{})
				began := time.Now()
				got := askLinks(t.Context(), lanprobe.Request{Address: address, Interfaces: []string{"eth0"}}, []layer2.Link{tt.link}, func(layer2.Link) (responder.Conn, error) { return conn, nil })
				if took := time.Since(began); took > lanprobe.AnswerTimeout {
					t.Errorf("it took %s", took)
				}
				var answers []string
				for _, a := range got.Answers {
					text := a.HardwareAddress
					if a.Via != "" {
						text += " by " + a.Via
					}
					answers = append(answers, text)
				}
				if len(answers) > 2 {
					answers = []string{fmt.Sprint(len(answers))}
				}
				slices.Sort(answers)
				if diff := cmp.Diff(tt.answers, strings.Join(answers, " ")); diff != "" || conn.requests != tt.asked {
					t.Errorf("%d requests, want %d; answers (-want +got):\n%s", conn.requests, tt.asked, diff)
				}
				if problem := strings.Join(got.Problems, " "); (problem == "") != (tt.problem == "") || !strings.Contains(problem, tt.problem) {
					t.Errorf("got the problem %q, want %q", problem, tt.problem)
				}
			})
		})
	}
}

func TestAsk_EndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		conn := &lan{messages: make(chan packet.Message, 1), closed: make(chan struct{})}
		began := time.Now()
		askLinks(ctx, lanprobe.Request{Address: address, Interfaces: []string{"eth0"}}, []layer2.Link{{Name: "eth0", IPv4: true}}, func(layer2.Link) (responder.Conn, error) { return conn, nil })
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAsk_AnInterfaceThatCannotBeOpenedIsNamed(t *testing.T) {
	got := askLinks(t.Context(), lanprobe.Request{Address: address, Interfaces: []string{"eth0"}}, []layer2.Link{{Name: "eth0", IPv4: true}}, func(layer2.Link) (responder.Conn, error) { return nil, errors.New("not permitted") })
	if diff := cmp.Diff([]string{"eth0: not permitted"}, got.Problems); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
