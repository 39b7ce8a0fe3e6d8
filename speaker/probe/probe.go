// Package probe sends requests for an address to the local network and collects the answers, for the command
// kubectl lbstack who --probe (see internal/lanprobe). It is a command of the speaker program, and runs in a
// process of its own, on nodes with or without a running speaker. Its requests claim no address, so they do
// not affect the traffic of other hosts.
package probe

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/links"
)

// Run sends requests, collects answers for lanprobe.AnswerTimeout, and returns the encoded result. The
// parameter args has the command-line arguments after lanprobe.ProbeCommand: the address, and the interfaces
// to send on. If the context ends earlier, the result has the answers that arrived before. Run needs the
// capability NET_RAW.
func Run(ctx context.Context, args []string) ([]byte, error) {
	request, err := lanprobe.ParseArgs(args)
	if err != nil {
		return nil, err
	}
	list, err := links.List(netip.Addr{})
	if err != nil {
		return nil, err
	}
	own, err := links.IsLocalAddress(request.Address)
	if err != nil {
		return nil, err
	}
	listen := responder.ListenARP
	if request.Address.Is6() {
		listen = responder.ListenNDP
	}
	result := askLinks(ctx, request, list, listen)
	result.Own = own
	return result.Encode()
}

// answerCollector collects the answers on all links.
type answerCollector struct {
	address netip.Addr

	mu     sync.Mutex
	result lanprobe.Result
	known  map[lanprobe.Answer]bool
}

func askLinks(ctx context.Context, request lanprobe.Request, list []layer2.Link, listen responder.ListenFunc) lanprobe.Result {
	a := &answerCollector{address: request.Address, known: map[lanprobe.Answer]bool{}}
	ctx, cancel := context.WithTimeout(ctx, lanprobe.AnswerTimeout)
	defer cancel()
	var running sync.WaitGroup
	for _, name := range request.Interfaces {
		i := slices.IndexFunc(list, func(l layer2.Link) bool { return l.Name == name })
		if i < 0 || !list[i].CanAnnounce(request.Address) {
			a.addProblem(name, fmt.Errorf("the interface is not up, or has no own address to request %s", request.Address))
			continue
		}
		conn, err := listen(list[i])
		if err != nil {
			a.addProblem(name, err)
			continue
		}
		running.Go(func() { a.read(name, conn) })
		running.Go(func() { a.send(ctx, name, conn) })
	}
	running.Wait()
	return a.result
}

// send sends lanprobe.RequestCount requests. It closes the connection at the end, which ends read.
func (a *answerCollector) send(ctx context.Context, name string, conn responder.Conn) {
	defer func() { _ = conn.Close() }()
	if err := conn.Watch([]netip.Addr{a.address}); err != nil {
		a.addProblem(name, err)
		return
	}
	ticker := time.NewTicker(lanprobe.RequestInterval)
	defer ticker.Stop()
	for sent := 0; ; {
		if sent++; sent <= lanprobe.RequestCount {
			if err := conn.Probe(a.address); err != nil {
				a.addProblem(name, err)
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// read collects answers until the connection is closed. Their number is bounded, since one host can send
// answers with any number of hardware addresses.
func (a *answerCollector) read(name string, conn responder.Conn) {
	for {
		m, ok, err := conn.Read()
		if err != nil {
			return
		}
		if !ok || m.Claims != a.address {
			continue
		}
		answer := lanprobe.Answer{Interface: name, HardwareAddress: m.Sender.String()}
		if m.Via != (packet.MAC{}) {
			answer.Via = m.Via.String()
		}
		a.mu.Lock()
		if !a.known[answer] && len(a.known) < lanprobe.MaxAnswers {
			a.known[answer] = true
			a.result.Answers = append(a.result.Answers, answer)
		}
		a.mu.Unlock()
	}
}

func (a *answerCollector) addProblem(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Problems = append(a.result.Problems, name+": "+err.Error())
}
