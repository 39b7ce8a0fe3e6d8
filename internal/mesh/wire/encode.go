package wire

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// version begins every message. A speaker skips messages of versions that it
// does not know; within a version, what is new is appended, and what follows the
// part that is known is ignored.
const version = 1

// Flags of a link.
const (
	flagInternal = 1 << iota
	flagIPv4
	flagIPv6
)

// Flags of a message, in a byte after what its kind has.
const (
	flagStream = 1 << iota
	flagDeaf
)

// Encode returns the message as bytes. What is beyond the bounds is left out, or the
// bound is said instead: a receiver would refuse all of it for one value.
func Encode(m *Message) []byte {
	b := []byte{version, byte(m.Kind)}
	b = text(b, string(m.From))
	b = number(b, m.Incarnation, m.Sequence)
	b = duration(b, m.Interval)
	switch m.Kind {
	case KindBeat:
		suspects := fitting(m.Suspects, maxSuspects, func(n lb.NodeName) bool { return n != "" && len(n) <= maxName })
		b = number(b, uint64(len(suspects)))
		for _, s := range suspects {
			b = text(b, string(s))
		}
	case KindPull:
		b = number(b, m.Nonce)
	case KindAck:
		b = number(b, m.AckedIncarnation, m.AckedSequence)
	case KindState:
		b = number(b, m.Nonce)
		b = state(b, &m.State)
	}
	return append(b, way(m))
}

// way says how a message goes.
func way(m *Message) byte {
	switch {
	case m.Stream && m.Deaf:
		return flagStream | flagDeaf
	case m.Stream:
		return flagStream
	}
	return 0
}

func state(b []byte, s *State) []byte {
	b = append(b, byte(s.Phase))
	b = duration(b, s.Back)
	links := fitting(s.Links, maxLinks, func(l Link) bool { return l.Name != "" && len(l.Name) <= maxLinkName })
	b = number(b, uint64(len(links)))
	for i := range links {
		b = link(b, &links[i])
	}
	addresses := slices.SortedFunc(maps.Keys(s.Claims), netip.Addr.Compare)
	addresses = fitting(addresses, maxClaims, netip.Addr.IsValid)
	b = number(b, uint64(len(addresses)))
	for _, a := range addresses {
		b = address(b, a)
		b = number(b, min(uint64(s.Claims[a]), maxEpoch))
	}
	held := fitting(s.Held, maxHeld, netip.Addr.IsValid)
	b = number(b, uint64(len(held)))
	for _, a := range held {
		b = address(b, a)
	}
	return b
}

func link(b []byte, l *Link) []byte {
	b = text(b, l.Name)
	b = append(b, l.Hardware[:]...)
	var flags byte
	for flag, set := range map[byte]bool{flagInternal: l.Internal, flagIPv4: l.IPv4, flagIPv6: l.IPv6} {
		if set {
			flags |= flag
		}
	}
	b = append(b, flags)
	prefixes := fitting(l.Prefixes, maxPrefixes, netip.Prefix.IsValid)
	b = number(b, uint64(len(prefixes)))
	for _, p := range prefixes {
		b = address(b, p.Addr())
		b = append(b, byte(p.Bits()))
	}
	return b
}

func number(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func duration(b []byte, d time.Duration) []byte {
	return number(b, uint64(min(max(0, d), maxDuration).Milliseconds()))
}

// fitting returns the first that fit, and most of them at most.
func fitting[T any](list []T, most int, fits func(T) bool) []T {
	if !slices.ContainsFunc(list, func(t T) bool { return !fits(t) }) {
		return list[:min(len(list), most)]
	}
	var kept []T
	for _, t := range list {
		if fits(t) && len(kept) < most {
			kept = append(kept, t)
		}
	}
	return kept
}

func text(b []byte, s string) []byte {
	return append(number(b, uint64(len(s))), s...)
}

func address(b []byte, a netip.Addr) []byte {
	raw := a.AsSlice()
	return append(append(b, byte(len(raw))), raw...)
}
