package netns

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/routes"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
)

// buildFlags go to the build of bgpspeaker: "-race" for a build with the race detector.
const buildFlags = "BGPSPEAKER_BUILD_FLAGS"

// program builds bgpspeaker when it is first needed. folder has the built program.
var program = sync.OnceValues(func() (path string, err error) {
	folder, err := os.MkdirTemp("", "lbstack-bgpspeaker-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "bgpspeaker")
	args := append(append([]string{"build"}, strings.Fields(os.Getenv(buildFlags))...), "-o", path, "../bgpspeaker")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return path, fmt.Errorf("building bgpspeaker: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	for variable, run := range map[string]func(config string) error{meshEnvironment: runMember, speakerEnvironment: runSpeaker} {
		config, is := os.LookupEnv(variable)
		if !is {
			continue
		}
		if err := run(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built {
			if path, _ := program(); path != "" {
				os.RemoveAll(filepath.Dir(path))
			}
		}
		os.Exit(code)
	}))
}

var built bool

// speaking is a bgpspeaker that runs on a host.
type speaking struct {
	measured
	bed   *bed
	host  string
	input io.WriteCloser
	ended chan struct{}
	// metrics is the path of the socket that serves the metrics.
	metrics string

	mu     sync.Mutex
	last   protocol.Report
	log    strings.Builder
	config protocol.Config
}

// speaker starts a bgpspeaker on a host. It is killed when the test ends.
func (b *bed) speaker(host string) *speaking {
	b.Helper()
	built = true
	path, err := program()
	if err != nil {
		b.Fatal(err)
	}
	s := &speaking{bed: b, host: host, ended: make(chan struct{}), metrics: filepath.Join(filepath.Dir(path), b.prefix+host)}
	s.measured = measured{b.T, exec.Command("nsenter", "--net=/var/run/netns/"+b.prefix+host, path, "-metrics", s.metrics)}
	s.cmd.Stderr = s
	s.input, err = s.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go s.listen(out)
	b.Cleanup(func() {
		s.kill()
		if text := s.printed(); b.Failed() || strings.Contains(text, "DATA RACE") {
			b.Errorf("bgpspeaker on %s printed:\n%s", host, text)
		}
	})
	return s
}

func (s *speaking) listen(out io.Reader) {
	defer close(s.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if r, err := protocol.Parse[protocol.Report](lines.Bytes()); err == nil {
			s.mu.Lock()
			s.last = r
			s.mu.Unlock()
		}
	}
	_ = s.cmd.Wait()
}

// Write receives the standard error of the speaker.
func (s *speaking) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// set replaces the configuration of the speaker.
func (s *speaking) set(c protocol.Config) {
	s.t.Helper()
	s.config = c
	line, err := json.Marshal(c)
	if err == nil {
		_, err = s.input.Write(append(line, '\n'))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// status is the latest status of a session.
type status = speakerbgp.Status

// printed returns the standard error of the speaker.
func (s *speaking) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// change edits the configuration of the speaker.
func (s *speaking) change(edit func(*protocol.Config)) {
	s.t.Helper()
	c := s.config
	c.Peers = append([]bgp.Peer(nil), c.Peers...)
	edit(&c)
	s.set(c)
}

// kill ends the speaker as a crash does.
func (s *speaking) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// stop ends the speaker as Kubernetes does.
func (s *speaking) stop() {
	s.t.Helper()
	s.terminate()
	select {
	case <-s.ended:
	case <-time.After(soon):
		s.t.Fatalf("the speaker on %s does not end", s.host)
	}
}

// terminate sends SIGTERM to the speaker.
func (s *speaking) terminate() { _ = s.cmd.Process.Signal(syscall.SIGTERM) }

func (s *speaking) status(peer bgp.PeerName) (status speakerbgp.Status, path speakerbfd.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range s.last.Sessions {
		if status.Peer == peer {
			return status, s.last.Paths[peer]
		}
	}
	return status, path
}

// becomes waits until the session with a peer has a wanted status.
func (s *speaking) becomes(peer bgp.PeerName, within time.Duration, what string, is func(speakerbgp.Status) bool) (status speakerbgp.Status) {
	s.t.Helper()
	eventually.Succeed(s.t, within, fmt.Sprintf("the session with %s is %s", peer, what), func(context.Context) error {
		if status, _ = s.status(peer); !is(status) {
			return fmt.Errorf("it is %+v", status)
		}
		return nil
	})
	return status
}

func (s *speaking) establishes(peer bgp.PeerName) speakerbgp.Status {
	s.t.Helper()
	return s.becomes(peer, soon, "established", established)
}

// failsWith waits until the session is not established and the last error has a text.
func (s *speaking) failsWith(peer bgp.PeerName, within time.Duration, text string) {
	s.t.Helper()
	s.becomes(peer, within, fmt.Sprintf("down, with the error %q", text), func(status speakerbgp.Status) bool {
		return !established(status) && strings.Contains(status.LastError, text)
	})
}

func established(s speakerbgp.Status) bool { return s.State == session.Established }

// peer is an external peer with quick timers, in AS 64512 to a router in AS 64513.
func peer(name bgp.PeerName, address string, edits ...func(*bgp.Peer)) bgp.Peer {
	p := bgp.Peer{
		Name: name, ASN: 64512, Remote: bgp.RemoteASN{ASN: 64513}, Port: bgp.Port,
		Hold: 9 * time.Second, ConnectRetry: time.Second,
	}
	if address != "" {
		p.Address = netip.MustParseAddr(address)
	}
	for _, edit := range edits {
		edit(&p)
	}
	return p
}

func internal(p *bgp.Peer)  { p.Remote.ASN = p.ASN }
func dualStack(p *bgp.Peer) { p.DualStack = true }
func passive(p *bgp.Peer)   { p.Passive = true }
func gracefully(p *bgp.Peer) {
	p.RestartTime = 30 * time.Second
}

// plain returns routes without attributes.
func plain(prefixes ...string) map[netip.Prefix]routes.Attributes {
	table := map[netip.Prefix]routes.Attributes{}
	for _, p := range prefixes {
		table[netip.MustParsePrefix(p)] = routes.Attributes{}
	}
	return table
}

// toAll gives all peers the same routes.
func toAll(table map[netip.Prefix]routes.Attributes, peers ...bgp.Peer) protocol.Config {
	c := protocol.Config{Peers: peers, Routes: map[bgp.PeerName]map[netip.Prefix]routes.Attributes{}}
	for _, p := range peers {
		c.Routes[p.Name] = table
	}
	return c
}
