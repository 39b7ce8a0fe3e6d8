package main

import (
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
	"github.com/lbstack/lbstack/speaker/app"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// parseFlags parses the command line. An error names the flag.
func parseFlags(set *flag.FlagSet, args []string) (app.Options, error) {
	var o app.Options
	detection := choiceFlag{value: string(mesh.ProfileDefault)}
	for _, profile := range mesh.Profiles() {
		detection.choices = append(detection.choices, string(profile))
	}
	failback := choiceFlag{choices: []string{"never", "gradual"}, value: "never"}
	node := set.String("node", os.Getenv("NODE_NAME"), "name of this node (default: $NODE_NAME)")
	address := set.String("address", os.Getenv("NODE_IP"), "address of this node (default: $NODE_IP)")
	set.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the speakers (default: $POD_NAMESPACE)")
	o.AddFlags(set, fmt.Sprintf("127.0.0.1:%d", v1beta1.DefaultHealthPort), fmt.Sprintf(":%d", v1beta1.DefaultMetricsPort))
	version.AddFlag(set)
	port := set.Uint("mesh-port", uint(v1beta1.DefaultMeshPort), "UDP port of the mesh between speakers, on the node's address")
	set.StringVar(&o.KeyDir, "mesh-key-dir", "/etc/lbstack/mesh-keys", "folder with the keys of the mesh, in the files key-1, key-2 and so on, with 32 bytes each; the file with the highest number has the newest key")
	set.StringVar(&o.StateDir, "state-dir", "/var/lib/lbstack", "folder for the checkpoint: the speaker reads it when it starts while the API server does not answer")
	set.Var(&detection, "failure-detection", "how soon the loss of a node is detected: "+detection.joinChoices())
	set.Var(&failback, "failback", "whether addresses move when nothing has failed: "+failback.joinChoices())
	set.StringVar(&o.LogLevel, "log-level", "info", "how much to log: error, info or debug")
	if err := termination.ParseFlags(set, args); err != nil {
		return app.Options{}, err
	}
	if set.NArg() > 0 {
		return app.Options{}, fmt.Errorf("unexpected argument %q: the speaker takes flags only", set.Arg(0))
	}
	if *address != "" {
		parsed, err := netip.ParseAddr(*address)
		if err != nil {
			return app.Options{}, fmt.Errorf("-address=%s: it must be an IP address", *address)
		}
		o.Address = parsed
	}
	if *port == 0 || *port > math.MaxUint16 {
		return app.Options{}, fmt.Errorf("-mesh-port=%d: it must be 1 to %d", *port, math.MaxUint16)
	}
	o.Node, o.MeshPort = lb.NodeName(*node), uint16(*port)
	o.Detection, o.GradualFailback = mesh.Profile(detection.value), failback.value == "gradual"
	return o, nil
}

// choiceFlag is a flag whose value is one of a few words.
type choiceFlag struct {
	choices []string
	value   string
}

// String implements flag.Value.
func (c *choiceFlag) String() string { return c.value }

// Set implements flag.Value.
func (c *choiceFlag) Set(word string) error {
	if !slices.Contains(c.choices, word) {
		return fmt.Errorf("it must be %s", c.joinChoices())
	}
	c.value = word
	return nil
}

func (c *choiceFlag) joinChoices() string {
	last := len(c.choices) - 1
	return strings.Join(c.choices[:last], ", ") + " or " + c.choices[last]
}
