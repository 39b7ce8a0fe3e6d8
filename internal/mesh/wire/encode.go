package wire

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// protocolVersion begins every message. A speaker skips messages of versions that it does not
// support; within a version, new fields are appended, and a receiver ignores what follows
// the fields that it supports.
const protocolVersion = 2

// Flags of a link.
const (
	flagInternal = 1 << iota
	flagIPv4
	flagIPv6
)

// AppendMessage appends the message to b. A value that is out of bounds is left out or replaced by the
// bound, since a receiver would refuse the whole message because of it.
func AppendMessage(b []byte, m *Message) []byte {
	b = append(b, protocolVersion, byte(m.Kind))
	b = appendNumbers(b, m.Sequence)
	b = appendDuration(b, m.Interval)
	switch m.Kind {
	case KindHeartbeat:
		suspects := m.Suspects[:min(len(m.Suspects), MaxSuspects)]
		b = appendNumbers(b, uint64(len(suspects)))
		for _, id := range suspects {
			b = binary.BigEndian.AppendUint64(b, uint64(id))
		}
		known := m.Known[:min(len(m.Known), MaxKnownStates)]
		b = appendNumbers(b, uint64(len(known)))
		for _, k := range known {
			b = binary.BigEndian.AppendUint64(b, uint64(k.ID))
			b = appendNumbers(append(b, k.Process[:]...), k.Sequence)
		}
	case KindPull:
		b = binary.BigEndian.AppendUint64(b, uint64(m.About))
		missing := m.Missing[:min(len(m.Missing), MaxMissingPieces)]
		b = appendNumbers(b, m.Nonce, m.MissingOf, uint64(len(missing)))
		for _, index := range missing {
			b = binary.BigEndian.AppendUint16(b, index)
		}
	case KindAck:
		b = appendNumbers(b, m.Acked)
	case KindState:
		b = appendNumbers(b, m.Nonce)
		b = appendPiece(b, &m.Piece)
	}
	return b
}

func appendPiece(b []byte, p *Piece) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.About))
	if p.About != 0 {
		b = append(b, p.Instance[:]...)
		b = appendNumbers(b, p.Sequence)
	}
	b = appendDuration(b, p.Back)
	b = appendNumbers(b, uint64(p.Index), uint64(p.Count), uint64(len(p.Data)))
	return append(b, p.Data...)
}

// SplitState encodes a state in one or more pieces. All pieces but the last have PieceSize bytes.
func SplitState(s *State) [][]byte {
	b := appendState(nil, s)
	pieces := make([][]byte, 0, len(b)/PieceSize+1)
	for len(b) > PieceSize {
		pieces = append(pieces, b[:PieceSize])
		b = b[PieceSize:]
	}
	return append(pieces, b)
}

func appendState(b []byte, s *State) []byte {
	b = append(b, byte(s.Phase))
	links := firstFitting(s.Links, maxLinks, func(l Link) bool { return l.Name != "" && len(l.Name) <= maxLinkNameBytes })
	b = appendNumbers(b, uint64(len(links)))
	for i := range links {
		b = appendLink(b, &links[i])
	}
	addresses := slices.SortedFunc(maps.Keys(s.Claims), netip.Addr.Compare)
	addresses = firstFitting(addresses, maxClaims, netip.Addr.IsValid)
	b = appendNumbers(b, uint64(len(addresses)))
	for _, a := range addresses {
		b = appendAddress(b, a)
		b = appendNumbers(b, min(uint64(s.Claims[a]), uint64(maxEpoch)))
	}
	held := firstFitting(s.Held, MaxHeldAddresses, netip.Addr.IsValid)
	b = appendNumbers(b, uint64(len(held)))
	for _, a := range held {
		b = appendAddress(b, a)
	}
	return b
}

func appendLink(b []byte, l *Link) []byte {
	b = appendText(b, l.Name)
	b = append(b, l.Hardware[:]...)
	var flags byte
	for flag, set := range map[byte]bool{flagInternal: l.Internal, flagIPv4: l.IPv4, flagIPv6: l.IPv6} {
		if set {
			flags |= flag
		}
	}
	b = append(b, flags)
	prefixes := firstFitting(l.Prefixes, maxPrefixes, netip.Prefix.IsValid)
	b = appendNumbers(b, uint64(len(prefixes)))
	for _, p := range prefixes {
		b = appendAddress(b, p.Addr())
		b = append(b, byte(p.Bits()))
	}
	return b
}

func appendNumbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendDuration(b []byte, d time.Duration) []byte {
	return appendNumbers(b, uint64(min(max(0, d), maxDuration).Milliseconds()))
}

// firstFitting returns the first values of the list that fit, up to the given number.
func firstFitting[T any](list []T, most int, fits func(T) bool) []T {
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

func appendText(b []byte, s string) []byte {
	return append(appendNumbers(b, uint64(len(s))), s...)
}

func appendAddress(b []byte, a netip.Addr) []byte {
	raw := a.AsSlice()
	return append(append(b, byte(len(raw))), raw...)
}
