// Package lanprobe is what kubectl lbstack who --probe and the program that asks the local network for it agree on: the
// command line of the program, and the result that it leaves in the termination message of its container. It is pure, and
// does not send: speaker/probe does, and internal/maintenance makes the pod.
package lanprobe

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/bounded"
)

// Command is the first argument of the speaker that has it ask and end.
const Command = "probe"

// How long the network is asked: one request at the start and one after each Interval, Count of them, and answers are waited for
// until Within is over. A host that answers slowly, or whose first answer is lost, has the rest of the time.
const (
	Count    = 3
	Interval = time.Second
	Within   = 3 * time.Second
)

// MaxInterfaces bounds the interfaces that are asked on at a time.
const MaxInterfaces = 8

const (
	// MaxAnswers bounds the answers of a result.
	MaxAnswers = 16
	// maxProblem bounds each text of a result, in bytes.
	maxProblem = 120
)

// Request is what is asked.
type Request struct {
	// Address that hosts are asked for: by ARP if it is IPv4, else by NDP.
	Address netip.Addr
	// Interfaces of the node, at most MaxInterfaces.
	Interfaces []string
}

// Args returns the command line of the program.
func (r Request) Args() []string {
	return append([]string{Command, r.Address.String()}, r.Interfaces...)
}

// Parse parses a command line, without Command.
func Parse(args []string) (Request, error) {
	if len(args) < 2 || len(args) > MaxInterfaces+1 {
		return Request{}, fmt.Errorf("%s takes an address and 1 to %d interfaces, not %d arguments", Command, MaxInterfaces, len(args))
	}
	address, err := netip.ParseAddr(args[0])
	switch {
	case err != nil:
		return Request{}, fmt.Errorf("%q is no IP address", args[0])
	case address.Zone() != "" || address != address.Unmap() || address.IsUnspecified() || address.IsMulticast():
		return Request{}, fmt.Errorf("%s is no address that a host of the network can have", address)
	}
	return Request{Address: address, Interfaces: args[1:]}, nil
}

// Answer is a host that announced that it has the address.
type Answer struct {
	// Interface of the node that asked, on which the answer arrived.
	Interface string `json:"interface"`
	// HardwareAddress that the answer names: frames for the address go there.
	HardwareAddress string `json:"hardwareAddress"`
	// Via is the source of the frame if it is another: a host that answers on behalf of the one with HardwareAddress.
	Via string `json:"via,omitempty"`
}

// Result is what became of a request.
type Result struct {
	// Answers, each host once for an interface, in order; at most 16.
	Answers []Answer `json:"answers"`
	// Own means that an interface of the node that asked has the address, which does not answer its own requests.
	Own bool `json:"own,omitempty"`
	// Problems are why the network could not be asked on an interface, as sentences that begin with its name.
	Problems []string `json:"problems,omitempty"`
}

// Encode returns the result as a termination message, which has 4096 bytes at most.
func (r Result) Encode() ([]byte, error) { return json.Marshal(r.limited()) }

// limited returns the result with at most so many items as a message has, in order, each short and plain.
func (r Result) limited() Result {
	r.Answers = slices.Clone(r.Answers)
	for i, a := range r.Answers {
		r.Answers[i] = Answer{Interface: short(a.Interface), HardwareAddress: short(a.HardwareAddress), Via: short(a.Via)}
	}
	slices.SortFunc(r.Answers, compare)
	r.Answers = slices.Compact(r.Answers)
	r.Answers = r.Answers[:min(len(r.Answers), MaxAnswers)]
	r.Problems = slices.Clone(r.Problems)
	slices.Sort(r.Problems)
	r.Problems = r.Problems[:min(len(r.Problems), MaxInterfaces)]
	for i, p := range r.Problems {
		r.Problems[i] = short(p)
	}
	return r
}

func short(text string) string { return bounded.Cut(strings.Map(plain, text), maxProblem) }

// plain replaces what has several bytes in JSON.
func plain(c rune) rune {
	if c < ' ' || c > '~' || strings.ContainsRune("\"\\<>&", c) {
		return '?'
	}
	return c
}

func compare(x, y Answer) int {
	return cmp.Or(strings.Compare(x.Interface, y.Interface), strings.Compare(x.HardwareAddress, y.HardwareAddress), strings.Compare(x.Via, y.Via))
}

// Decode parses a termination message. Whoever may write the status of the pod has written it, so that it is limited once more.
func Decode(message string) (Result, error) {
	var r Result
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		return Result{}, fmt.Errorf("the program answered %q, which is no result of a probe", bounded.Cut(message, 200))
	}
	return r.limited(), nil
}
