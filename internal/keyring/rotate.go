package keyring

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// MinOverlap is the shortest time for which two keys are accepted: a speaker that starts while the
	// second key is added is not in RotationState.Speakers yet.
	MinOverlap = time.Minute
	// ExpectedDelay is the longest time until speakers report a new key, if nothing is wrong: a kubelet
	// updates the folder within about two minutes.
	ExpectedDelay = 5 * time.Minute
	// MaxOverlap is how long the older key stays for speakers that do not report the newer key. Such
	// speakers can be on nodes that are down, or whose kubelet does not reach the API server.
	MaxOverlap = time.Hour
)

// RotationState is the input of PlanRotation.
type RotationState struct {
	// Files are the entries of the Secret.
	Files map[string][]byte
	// Since is when the newest key was added; zero: unknown.
	Since time.Time
	// Request is the current request for a rotation. Done is the last request that was carried out. A
	// rotation is requested if Request is neither empty nor equal to Done.
	Done, Request string
	// Speakers are the speakers that run or may run, by node.
	Speakers map[lb.NodeName]SpeakerKeys
	Now      time.Time
}

// SpeakerKeys is the state of the speaker on a node.
type SpeakerKeys struct {
	// Accepts are the IDs of the keys that the speaker accepts; nil: the speaker has not reported them.
	Accepts []string
	// Down means that the node or the speaker is reported to be down.
	Down bool
}

// RotationPlan is the result of PlanRotation: the keys that the Secret should have.
type RotationPlan struct {
	// Keys of the Secret, the newest first: one, or more during a rotation.
	Keys []Entry
	// The caller must store Since and Done together with the keys.
	Since time.Time
	Done  string
	// Waiting are the nodes whose speakers do not accept the newest key, in order. Outside of a
	// rotation, it leaves out speakers that are down and speakers that have not reported their keys.
	Waiting []lb.NodeName
	// Late means that the rotation has waited for these speakers for longer than ExpectedDelay.
	Late bool
	// Until is when the older keys are removed even if speakers do not accept the newest key; zero: there
	// are no older keys.
	Until time.Time
	// Again is how long to wait before PlanRotation is called again although nothing has changed; 0: no
	// further call is needed.
	Again time.Duration
}

// PlanRotation returns the keys that the Secret should have. fresh makes a random key, and is called at
// most once. Invariants: The Secret has a key. Its newest valid key stays. Older valid keys stay until
// every speaker accepts the newest key, at least MinOverlap and at most MaxOverlap after it was added. A
// key is added only if the Secret has none, or if a rotation is requested and no rotation is under way.
func PlanRotation(s RotationState, fresh func() [KeySize]byte) RotationPlan {
	keys, _ := Parse(s.Files)
	p := RotationPlan{Keys: keys, Since: s.Since, Done: s.Done}
	if p.Since.IsZero() || p.Since.After(s.Now) {
		p.Since = s.Now
	}
	asked := s.Request != "" && s.Request != s.Done
	switch age := s.Now.Sub(p.Since); {
	case len(keys) == 0:
		p.addKey(s, highestNumber(s.Files)+1, fresh)
	case len(keys) > 1 && (age >= MaxOverlap || (age >= MinOverlap && len(s.waitingNodes(keys)) == 0)):
		p.Keys = keys[:1]
		if asked {
			p.Again = time.Second // the next rotation begins from one key
		}
	case len(keys) == 1 && asked:
		p.addKey(s, keys[0].Number+1, fresh)
	}
	p.setWaiting(s)
	return p
}

// setWaiting sets the fields about the speakers for which the rotation waits.
func (p *RotationPlan) setWaiting(s RotationState) {
	p.Waiting = s.waitingNodes(p.Keys)
	p.Late = len(p.Waiting) > 0 && s.Now.Sub(p.Since) >= ExpectedDelay
	soonest := func(after time.Duration) {
		p.Again = backoff.ShorterWait(p.Again, p.Since.Add(after).Sub(s.Now))
	}
	if len(p.Waiting) > 0 {
		soonest(ExpectedDelay)
	}
	if len(p.Keys) > 1 {
		p.Until = p.Since.Add(MaxOverlap)
		soonest(MinOverlap)
		soonest(MaxOverlap)
	}
}

func (p *RotationPlan) addKey(s RotationState, number uint64, fresh func() [KeySize]byte) {
	p.Keys = append([]Entry{NewEntry(number, fresh())}, p.Keys...)
	p.Since = s.Now
	if s.Request != "" {
		p.Done = s.Request
	}
}

// waitingNodes returns the nodes whose speakers do not accept the newest of the keys; see RotationPlan.Waiting.
func (s RotationState) waitingNodes(keys []Entry) []lb.NodeName {
	var nodes []lb.NodeName
	for _, node := range slices.Sorted(maps.Keys(s.Speakers)) {
		speaker := s.Speakers[node]
		if len(keys) == 1 && (speaker.Down || speaker.Accepts == nil) {
			continue
		}
		if !slices.Contains(speaker.Accepts, keys[0].ID) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// highestNumber returns the highest number of all entries, the invalid ones included, so that the name of
// an invalid entry is not used again.
func highestNumber(files map[string][]byte) uint64 {
	var top uint64
	for name := range files {
		digits, isKey := strings.CutPrefix(name, namePrefix)
		if number, err := strconv.ParseUint(digits, 10, 64); isKey && err == nil && number < maxEntryNumber {
			top = max(top, number)
		}
	}
	return top
}
