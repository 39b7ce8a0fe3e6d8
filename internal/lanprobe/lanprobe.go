// Package lanprobe defines what kubectl lbstack who --probe and the program that sends the requests
// exchange: the command line of the program, and the result that it writes to the termination message
// of its container. It is pure and sends nothing: speaker/probe sends the requests, and
// internal/maintenance creates the pod.
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

// ProbeCommand is the first argument of the speaker program that makes it send requests, collect the
// answers and end, instead of running as a speaker.
const ProbeCommand = "probe"

const (
	// RequestCount is how many requests are sent on an interface. With several requests, a host is found
	// even if its first answer is lost.
	RequestCount = 3
	// RequestInterval is the time between two requests.
	RequestInterval = time.Second
	// AnswerTimeout is for how long answers are collected, counted from the first request.
	AnswerTimeout = 3 * time.Second
)

// MaxInterfaces bounds the interfaces on which requests are sent.
const MaxInterfaces = 8

const (
	// MaxAnswers bounds the answers of a result.
	MaxAnswers = 16
	// maxTextBytes bounds each text of a result, in bytes.
	maxTextBytes = 120
)

// Request is an address to look for, and the interfaces to send requests on.
type Request struct {
	// Address to look for: by ARP if it is IPv4, by NDP if it is IPv6.
	Address netip.Addr
	// Interfaces of the node to send on, at most MaxInterfaces.
	Interfaces []string
}

// Args returns the arguments with which the program sends these requests.
func (r Request) Args() []string {
	return append([]string{ProbeCommand, r.Address.String()}, r.Interfaces...)
}

// ParseArgs parses the arguments that follow ProbeCommand.
func ParseArgs(args []string) (Request, error) {
	if len(args) < 2 || len(args) > MaxInterfaces+1 {
		return Request{}, fmt.Errorf("%s takes an address and 1 to %d interfaces, not %d arguments", ProbeCommand, MaxInterfaces, len(args))
	}
	address, err := netip.ParseAddr(args[0])
	switch {
	case err != nil:
		return Request{}, fmt.Errorf("%q is no IP address", args[0])
	case address.Zone() != "" || address != address.Unmap() || address.IsUnspecified() || address.IsMulticast():
		return Request{}, fmt.Errorf("a host cannot have the address %s: use a unicast address without a zone, and not an IPv4-mapped one", address)
	}
	return Request{Address: address, Interfaces: args[1:]}, nil
}

// Answer is the answer of a host that has the address.
type Answer struct {
	// Interface of the node on which the answer arrived.
	Interface string `json:"interface"`
	// HardwareAddress in the answer: frames for the address are sent to it.
	HardwareAddress string `json:"hardwareAddress"`
	// Via is the source address of the frame, if it differs from HardwareAddress: then a host answers on
	// behalf of another host.
	Via string `json:"via,omitempty"`
}

// Result has the answers to a request.
type Result struct {
	// Answers are sorted and distinct, and there are at most MaxAnswers.
	Answers []Answer `json:"answers"`
	// Own means that an interface of the node itself has the address. A node does not answer its own
	// requests.
	Own bool `json:"own,omitempty"`
	// Problems are sentences that explain why requests could not be sent on an interface. Each begins with
	// the name of the interface.
	Problems []string `json:"problems,omitempty"`
}

// Encode returns the result as a termination message, which has at most 4096 bytes.
func (r Result) Encode() ([]byte, error) { return json.Marshal(r.cutToBounds()) }

// cutToBounds returns the result, cut so that it fits into a termination message: its items are sorted,
// at most MaxAnswers or MaxInterfaces each, short, and in ASCII.
func (r Result) cutToBounds() Result {
	r.Answers = slices.Clone(r.Answers)
	for i, a := range r.Answers {
		r.Answers[i] = Answer{Interface: cutText(a.Interface), HardwareAddress: cutText(a.HardwareAddress), Via: cutText(a.Via)}
	}
	slices.SortFunc(r.Answers, compareAnswers)
	r.Answers = slices.Compact(r.Answers)
	r.Answers = r.Answers[:min(len(r.Answers), MaxAnswers)]
	r.Problems = slices.Clone(r.Problems)
	slices.Sort(r.Problems)
	r.Problems = r.Problems[:min(len(r.Problems), MaxInterfaces)]
	for i, p := range r.Problems {
		r.Problems[i] = cutText(p)
	}
	return r
}

func cutText(text string) string { return bounded.Cut(strings.Map(asciiRune, text), maxTextBytes) }

// asciiRune returns a question mark for each character that takes several bytes in JSON, and other
// characters unchanged.
func asciiRune(c rune) rune {
	if c < ' ' || c > '~' || strings.ContainsRune("\"\\<>&", c) {
		return '?'
	}
	return c
}

func compareAnswers(x, y Answer) int {
	return cmp.Or(strings.Compare(x.Interface, y.Interface), strings.Compare(x.HardwareAddress, y.HardwareAddress), strings.Compare(x.Via, y.Via))
}

// Decode parses a termination message. It applies the bounds again, since anyone who may write the status
// of the pod can write such a message.
func Decode(message string) (Result, error) {
	var r Result
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		return Result{}, fmt.Errorf("the probe pod ended with the message %q, which is no result of a probe", bounded.Cut(message, 200))
	}
	return r.cutToBounds(), nil
}
