package main

import (
	"flag"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
	"github.com/lbstack/lbstack/speaker/kube"
)

// settings are what the command line says.
type settings struct {
	kube.Options
	address   string
	port      uint
	keyDir    string // keys of the mesh
	stateDir  string // what the node keeps
	detection choice // how soon the loss of a node is noticed
	failback  choice // whether addresses move when nothing has failed
	level     string
}

// parse reads the command line. The error names the flag.
func parse(set *flag.FlagSet, args []string) (settings, error) {
	s := settings{
		detection: choice{of: []string{"default", "fast", "relaxed"}, is: "default"},
		failback:  choice{of: []string{"never", "gradual"}, is: "never"},
	}
	node := set.String("node", os.Getenv("NODE_NAME"), "name of this node (default: $NODE_NAME)")
	set.StringVar(&s.address, "address", os.Getenv("NODE_IP"), "address of this node (default: $NODE_IP)")
	set.StringVar(&s.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the speakers (default: $POD_NAMESPACE)")
	s.Flags(set, fmt.Sprintf("127.0.0.1:%d", v1beta1.DefaultHealthPort), fmt.Sprintf(":%d", v1beta1.DefaultMetricsPort))
	version.Flag(set)
	set.UintVar(&s.port, "member-port", uint(v1beta1.DefaultMeshPort), "UDP port of the mesh between speakers, on the node's address")
	set.StringVar(&s.keyDir, "member-key-dir", "/etc/lbstack/mesh-keys", "folder with the keys of the mesh: files key-1, key-2 and so on with 32 bytes each, of which the highest is the newest")
	set.StringVar(&s.stateDir, "state-dir", "/var/lib/lbstack", "folder in which the node keeps what it needs when the API server is away")
	set.Var(&s.detection, "failure-detection", "how soon the loss of a node is noticed: "+s.detection.words())
	set.Var(&s.failback, "failback", "whether addresses move when nothing has failed: "+s.failback.words())
	set.StringVar(&s.level, "log-level", "info", "how much to log: error, info or debug")
	if err := termination.ParseFlags(set, args); err != nil {
		return settings{}, err
	}
	if set.NArg() > 0 {
		return settings{}, fmt.Errorf("the argument %q means nothing: all is said by flags", set.Arg(0))
	}
	if s.port == 0 || s.port > math.MaxUint16 {
		return settings{}, fmt.Errorf("-member-port=%d: it must be 1 to %d", s.port, math.MaxUint16)
	}
	s.Node = lb.NodeName(*node)
	return s, nil
}

// onNode is an address that is served: without a host it is on that of the node, and not on
// others of its network.
func onNode(listen string, node netip.Addr) string {
	if port, without := strings.CutPrefix(listen, ":"); without {
		return net.JoinHostPort(node.String(), port)
	}
	return listen
}

// choice is a flag that is one of a few words.
type choice struct {
	of []string
	is string
}

// String implements flag.Value.
func (c *choice) String() string { return c.is }

// Set implements flag.Value.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.of, word) {
		return fmt.Errorf("it must be %s", c.words())
	}
	c.is = word
	return nil
}

func (c *choice) words() string {
	last := len(c.of) - 1
	return strings.Join(c.of[:last], ", ") + " or " + c.of[last]
}
