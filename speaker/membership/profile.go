package membership

import (
	"bytes"
	"fmt"
	stdlog "log"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/mesh"
)

// Profile is how soon the death of a speaker is noticed.
type Profile string

// The profiles, as they are called on the command line.
const (
	Relaxed Profile = "relaxed"
	Default Profile = "default"
	Fast    Profile = "fast"
)

// ParseProfile returns the profile of a name.
func ParseProfile(name string) (Profile, error) {
	switch p := Profile(name); p {
	case Relaxed, Default, Fast:
		return p, nil
	}
	return "", fmt.Errorf("%q is no profile of failure detection: it is relaxed, default or fast", name)
}

// timing of the beats. A death is noticed between Silence less a beat and Silence
// after it, plus some milliseconds for a second opinion.
func (p Profile) timing() mesh.Timing {
	switch p {
	case Relaxed:
		return mesh.Timing{Beat: 300 * time.Millisecond, Silence: 1200 * time.Millisecond}
	case Fast:
		return mesh.Timing{Beat: 30 * time.Millisecond, Silence: 150 * time.Millisecond}
	}
	return mesh.Timing{Beat: 90 * time.Millisecond, Silence: 300 * time.Millisecond}
}

// probe is the time between two probes of memberlist.
func (p Profile) probe() time.Duration {
	switch p {
	case Relaxed:
		return 4 * time.Second
	case Fast:
		return time.Second
	}
	return 2 * time.Second
}

// memberlistConfig is the slow half: it finds who there is, and in large clusters
// tells of the death of those who are not watched from here.
func (m *Mesh) memberlistConfig(network memberlist.Transport) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.ProbeInterval = m.config.Profile.probe()
	c.ProbeTimeout = c.ProbeInterval / 2
	c.IndirectChecks = 3
	c.SuspicionMult = 3
	c.SuspicionMaxTimeoutMult = 3
	c.AwarenessMaxMultiplier = 3
	c.GossipInterval = c.ProbeInterval / 2
	c.GossipNodes = 3
	c.RetransmitMult = 4
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = time.Second
	// A node that was replaced under its name may come from another address.
	c.DeadNodeReclaimTime = time.Second
	c.Name = string(m.config.Node)
	c.BindAddr, c.BindPort = m.config.Address.Addr().String(), int(m.config.Address.Port())
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, c.BindPort
	c.EnableCompression = false // beats are short, and it takes memory for each
	c.Transport = network
	c.SecretKey = m.config.Key
	c.Events, c.Delegate = events{m}, delegate{m}
	c.Logger = stdlog.New(lines{m.config.Log}, "", 0)
	return c
}

// lines is a writer that logs each line at debug level.
type lines struct{ log logr.Logger }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.log.V(1).Info(string(bytes.TrimSpace(p)))
	return len(p), nil
}
