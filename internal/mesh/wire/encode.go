package wire

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// version begins every message. A speaker skips messages of versions that it does not
// support; within a version, new fields are appended, and a receiver ignores what follows
// the fields that it supports.
const version = 2

// Flags of a link.
const (
	flagInternal = 1 << iota
	flagIPv4
	flagIPv6
)

// Append appends the message to b. Values beyond the bounds are left out, or the bound is
// encoded instead: a receiver would refuse the whole message for one value.
func Append(b []byte, m *Message) []byte {
	b = append(b, version, byte(m.Kind))
	b = number(b, m.Sequence)
	b = duration(b, m.Interval)
	switch m.Kind {
	case KindHeartbeat:
		suspects := m.Suspects[:min(len(m.Suspects), MaxSuspects)]
		b = number(b, uint64(len(suspects)))
		for _, id := range suspects {
			b = binary.BigEndian.AppendUint64(b, uint64(id))
		}
		known := m.Known[:min(len(m.Known), MaxKnown)]
		b = number(b, uint64(len(known)))
		for _, k := range known {
			b = binary.BigEndian.AppendUint64(b, uint64(k.ID))
			b = number(append(b, k.Process[:]...), k.Sequence)
		}
	case KindPull:
		b = binary.BigEndian.AppendUint64(b, uint64(m.About))
		missing := m.Missing[:min(len(m.Missing), MaxMissing)]
		b = number(b, m.Nonce, m.MissingOf, uint64(len(missing)))
		for _, index := range missing {
			b = binary.BigEndian.AppendUint16(b, index)
		}
	case KindAck:
		b = number(b, m.Acked)
	case KindState:
		b = number(b, m.Nonce)
		b = piece(b, &m.Piece)
	}
	return b
}

func piece(b []byte, p *Piece) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.About))
	if p.About != 0 {
		b = append(b, p.Instance[:]...)
		b = number(b, p.Sequence)
	}
	b = duration(b, p.Back)
	b = number(b, uint64(p.Index), uint64(p.Count), uint64(len(p.Data)))
	return append(b, p.Data...)
}

// Split encodes a state in pieces: all of the same size but the last, and at least one.
func Split(s *State) [][]byte {
	b := state(nil, s)
	pieces := make([][]byte, 0, len(b)/PieceSize+1)
	for len(b) > PieceSize {
		pieces = append(pieces, b[:PieceSize])
		b = b[PieceSize:]
	}
	return append(pieces, b)
}

func state(b []byte, s *State) []byte {
	b = append(b, byte(s.Phase))
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
		b = number(b, min(uint64(s.Claims[a]), uint64(maxEpoch)))
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

// fitting returns the first values of the list that fit, and no more than the given number.
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
