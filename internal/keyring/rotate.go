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
	// MinOverlap is how long two keys are accepted at least: speakers that start while the
	// second is added are not known yet.
	MinOverlap = time.Minute
	// Expected is how long it takes at most until speakers report a key, if nothing is
	// wrong: a kubelet updates the folder within some two minutes.
	Expected = 5 * time.Minute
	// MaxOverlap is how long the older key stays for speakers that do not report the newer
	// one: those of nodes that are down, or whose kubelet does not reach the API server.
	MaxOverlap = time.Hour
)

// State is what a decision depends on.
type State struct {
	// Files are the entries of the Secret.
	Files map[string][]byte
	// Since is when the newest key was added; zero: unknown.
	Since time.Time
	// Done is the request that was followed last, and Request the present one: one that is
	// neither empty nor Done asks for a rotation.
	Done, Request string
	// Speakers are those that run or may run, by node.
	Speakers map[lb.NodeName]Speaker
	Now      time.Time
}

// Speaker is what is known of the speaker of a node.
type Speaker struct {
	// Accepts are the IDs of the keys that it accepts; nil: it has not reported.
	Accepts []string
	// Down means that its node or its speaker is down as far as is known.
	Down bool
}

// Plan is what the Secret should have, and what is waited for.
type Plan struct {
	// Keys of the Secret, the newest first: one, or two or more while a rotation is under way.
	Keys []Entry
	// Since and Done are to be stored with them.
	Since time.Time
	Done  string
	// Waiting are the nodes whose speakers do not accept the newest key, in order. While
	// there is one key alone, only those that accept another one and are not down.
	Waiting []lb.NodeName
	// Late means that they are waited for longer than Expected.
	Late bool
	// Until is when the older keys are removed, also if nodes are missing; zero: there is none.
	Until time.Time
	// Again is after how long to decide again, without any change; 0: never.
	Again time.Duration
}

// Decide returns what the Secret should have next. fresh makes a random key, and is called
// once at most. Invariants: there is a key; the keys of the Secret that are valid stay, but
// for older ones once every speaker accepts the newest, or MaxOverlap after it was added;
// a key is added only if there is none, or if one is asked for and no rotation is under way.
func Decide(s State, fresh func() [Size]byte) Plan {
	keys, _ := Parse(s.Files)
	p := Plan{Keys: keys, Since: s.Since, Done: s.Done}
	if p.Since.IsZero() || p.Since.After(s.Now) {
		p.Since = s.Now
	}
	asked := s.Request != "" && s.Request != s.Done
	switch age := s.Now.Sub(p.Since); {
	case len(keys) == 0:
		p.add(s, highest(s.Files)+1, fresh)
	case len(keys) > 1 && (age >= MaxOverlap || (age >= MinOverlap && len(s.waiting(keys)) == 0)):
		p.Keys = keys[:1]
		if asked {
			p.Again = time.Second // the next rotation begins from one key
		}
	case len(keys) == 1 && asked:
		p.add(s, keys[0].Number+1, fresh)
	}
	p.wait(s)
	return p
}

// wait finds out what is waited for, and how long.
func (p *Plan) wait(s State) {
	p.Waiting = s.waiting(p.Keys)
	p.Late = len(p.Waiting) > 0 && s.Now.Sub(p.Since) >= Expected
	soonest := func(after time.Duration) {
		p.Again = backoff.Sooner(p.Again, p.Since.Add(after).Sub(s.Now))
	}
	if len(p.Waiting) > 0 {
		soonest(Expected)
	}
	if len(p.Keys) > 1 {
		p.Until = p.Since.Add(MaxOverlap)
		soonest(MinOverlap)
		soonest(MaxOverlap)
	}
}

func (p *Plan) add(s State, number uint64, fresh func() [Size]byte) {
	p.Keys = append([]Entry{New(number, fresh())}, p.Keys...)
	p.Since = s.Now
	if s.Request != "" {
		p.Done = s.Request
	}
}

// waiting lists the nodes that the newest of some keys waits for.
func (s State) waiting(keys []Entry) []lb.NodeName {
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

// highest returns the highest number of an entry, also of a damaged one: its name is not
// used again.
func highest(files map[string][]byte) uint64 {
	var top uint64
	for name := range files {
		digits, isKey := strings.CutPrefix(name, prefix)
		if number, err := strconv.ParseUint(digits, 10, 64); isKey && err == nil && number < maxNumber {
			top = max(top, number)
		}
	}
	return top
}
