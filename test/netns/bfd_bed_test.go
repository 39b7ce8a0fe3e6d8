package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	watched "github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/speaker/bfd"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

const (
	soon     = 20 * time.Second // for changes that take some seconds
	interval = 100 * time.Millisecond
)

// tight is a profile whose detection time is 300 ms with a router of the same profile.
var tight = watched.Profile{Receive: interval, Transmit: interval, Multiplier: 3}

// onHost opens the sockets of an engine on a host.
type onHost struct {
	bed  *bed
	host string
}

func (o onHost) Listen(c bfd.PacketClass) (r bfd.Receiver, err error) {
	o.bed.in(o.host, func() error {
		r, err = bfd.NewKernelNetwork().Listen(c)
		return nil
	})
	return r, err
}

func (o onHost) Dial(k bfd.Key, port uint16) (s bfd.Sender, err error) {
	o.bed.in(o.host, func() error {
		s, err = bfd.NewKernelNetwork().Dial(k, port)
		return nil
	})
	return s, err
}

// watcher is an engine on a host.
type watcher struct {
	*bfd.Engine
	t        *testing.T
	kill     context.CancelFunc // ends the engine without a packet
	registry *prometheus.Registry

	mu       sync.Mutex
	statuses []bfd.Status
}

func (b *bed) watcher(host string, sessions map[bfd.Key]watched.Profile) *watcher {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{t: b.T, kill: cancel, registry: prometheus.NewRegistry()}
	w.Engine = bfd.New(ctx, bfd.Options{
		Log: logr.Discard(), Metrics: bfd.NewMetrics(w.registry), Network: onHost{b, host},
		Changed: func(_ bfd.Key, s bfd.Status) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.statuses = append(w.statuses, s)
		},
	})
	b.Cleanup(func() {
		cancel()
		w.Stop(ctx) // waits until the engine has ended
	})
	w.Set(sessions)
	return w
}

// becomes waits until a session is in a state, and returns its status.
func (w *watcher) becomes(k bfd.Key, within time.Duration, what string, is func(bfd.Status) bool) (s bfd.Status) {
	w.t.Helper()
	eventually.Succeed(w.t, within, fmt.Sprintf("the session with %s is %s", k.Peer, what), func(context.Context) error {
		var known bool
		if s, known = w.Status(k); !known || !is(s) {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	return s
}

func (w *watcher) becomesUp(k bfd.Key) bfd.Status {
	w.t.Helper()
	return w.becomes(k, soon, "Up", func(s bfd.Status) bool { return s.State == watched.Up })
}

// seen is FRR's output for a session.
type seen struct {
	Peer               string `json:"peer"`
	Status             string `json:"status"`
	RemoteID           uint32 `json:"remote-id"`
	Diagnostic         string `json:"diagnostic"`
	RemoteDiagnostic   string `json:"remote-diagnostic"`
	Receive            int    `json:"receive-interval"`
	Transmit           int    `json:"transmit-interval"`
	RemoteReceive      int    `json:"remote-receive-interval"`
	RemoteTransmit     int    `json:"remote-transmit-interval"`
	RemoteMultiplier   int    `json:"remote-detect-multiplier"`
	SessionDown        int    `json:"session-down"`
	ControlPacketInput int    `json:"control-packet-input"`
}

// sees waits until FRR has a session in a state, and returns FRR's output for the session.
func sees(t *testing.T, r *router.Router, k string, within time.Duration, what string, is func(seen) bool) (found seen) {
	t.Helper()
	eventually.Succeed(t, within, fmt.Sprintf("the router sees the session with %s %s", k, what), func(ctx context.Context) error {
		list, err := peers(ctx, r, "show bfd peers json")
		if err != nil {
			return err
		}
		var known bool
		if found, known = list[k]; !known || !is(found) {
			return fmt.Errorf("it sees %+v", list)
		}
		return nil
	})
	return found
}

func peers(ctx context.Context, r *router.Router, command string) (map[string]seen, error) {
	text, err := r.Ask(ctx, command)
	if err != nil {
		return nil, err
	}
	var list []seen
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("reading %q: %w", text, err)
	}
	byPeer := map[string]seen{}
	for _, s := range list {
		byPeer[s.Peer] = s
	}
	return byPeer, nil
}

func up(s seen) bool   { return s.Status == "up" }
func down(s seen) bool { return s.Status == "down" }
