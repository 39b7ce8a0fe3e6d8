// Command bgpspeaker runs the BGP and BFD sessions of the speaker without
// Kubernetes. It reads its configuration from standard input, one line of JSON for each change,
// prints the state of its sessions, and serves its metrics on a Unix socket. Tests run it in a network namespace, kill it and
// start it again.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
)

// leaveWithin is the time that speaker/app gives routers at its end.
const leaveWithin = 65 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bgpspeaker:", err)
		os.Exit(1)
	}
}

func run() error {
	socket := flag.String("metrics", "", "the Unix socket to serve metrics on")
	flag.Parse()
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	registry := prometheus.NewRegistry()
	s := newSpeaker(registry)
	failed := make(chan error, 2)
	go func() { failed <- serve(*socket, registry) }()
	lines := make(chan []byte)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		in.Buffer(nil, 16<<20)
		for in.Scan() {
			lines <- append([]byte(nil), in.Bytes()...)
		}
		failed <- in.Err()
	}()
	for {
		select {
		case <-terminated.Done():
			s.leave()
			return nil
		case err := <-failed:
			return err // nil: the process that started this program has ended
		case <-s.changed:
			s.report()
		case line := <-lines:
			c, err := protocol.Parse[protocol.Config](line)
			if err != nil {
				return err
			}
			s.set(c)
		}
	}
}

// serve serves metrics until it fails. It removes the socket of a killed process before it.
func serve(socket string, registry *prometheus.Registry) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return http.Serve(l, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

type speaker struct {
	paths      *bfd.Engine
	sessions   *speakerbgp.Manager
	changed    chan struct{}
	routes     map[bgp.PeerName]routes.Table
	attributes []*routes.Attributes
	out        *json.Encoder
}

func newSpeaker(registry prometheus.Registerer) *speaker {
	s := &speaker{changed: make(chan struct{}, 1), routes: map[bgp.PeerName]routes.Table{}, out: json.NewEncoder(os.Stdout)}
	log := funcr.New(func(_, args string) { fmt.Fprintln(os.Stderr, time.Now().Format("15:04:05.000"), args) }, funcr.Options{})
	nudge := func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	ready := make(chan struct{})
	s.paths = bfd.New(context.Background(), bfd.Options{Log: logr.Discard(), Metrics: bfd.NewMetrics(registry), Changed: func(key bfd.Key, status bfd.Status) {
		<-ready
		s.sessions.StorePathStatus(key, status)
	}})
	s.sessions = speakerbgp.New(context.Background(), speakerbgp.Options{
		Log: log, RouterID: netip.MustParseAddr("192.0.2.1"), Metrics: speakerbgp.NewMetrics(registry), Changed: nudge,
		Discover: speakerbgp.Discover(log), Watch: speakerbgp.WatchAddresses(log), Paths: s.paths,
	})
	close(ready)
	return s
}

// set makes the same calls as the speaker's config watcher, in the same order.
func (s *speaker) set(c protocol.Config) {
	seen := time.Now()
	tables := map[bgp.PeerName]routes.Table{}
	for _, p := range c.Peers {
		table, announce, before := routes.Table{}, routes.Table{}, s.routes[p.Name]
		var withdraw []netip.Prefix
		for prefix, a := range c.Routes[p.Name] {
			if old := before[prefix]; old != nil && old.Equal(a) {
				table[prefix] = old
				continue
			}
			table[prefix] = s.shared(a)
			announce[prefix] = table[prefix]
		}
		for prefix := range before {
			if table[prefix] == nil {
				withdraw = append(withdraw, prefix)
			}
		}
		tables[p.Name] = table
		if len(announce)+len(withdraw) > 0 {
			s.sessions.SetRoutes(p.Name, announce, withdraw, seen)
		}
	}
	s.routes = tables
	s.sessions.SetDraining(c.Draining)
	s.sessions.SetInternalIPs(c.InternalIPs)
	s.sessions.SetPeers(c.WithPasswords(), func(name bgp.PeerName) routes.Table { return maps.Clone(tables[name]) })
}

// shared returns the same pointer for equal attributes, as
// internal/routes does: routes with the same pointer share messages.
func (s *speaker) shared(a routes.Attributes) *routes.Attributes {
	for _, known := range s.attributes {
		if known.Equal(a) {
			return known
		}
	}
	s.attributes = append(s.attributes, &a)
	return &a
}

func (s *speaker) report() {
	r := protocol.Report{Sessions: s.sessions.Statuses(), Paths: map[bgp.PeerName]bfd.Status{}}
	for _, status := range r.Sessions {
		if path, watched := s.sessions.PathStatus(status.Peer); watched {
			r.Paths[status.Peer] = path
		}
	}
	if err := s.out.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "bgpspeaker:", err)
	}
}

func (s *speaker) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	s.sessions.Leave(ctx)
	s.paths.Stop(ctx)
}
