package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/ownership"
)

// ErrVersion: a message has a version that is not supported.
var ErrVersion = errors.New("an unsupported version")

var (
	errShort  = errors.New("it ends too early")
	errBounds = errors.New("a value is out of bounds")
)

// Decode reads a message into m, and reuses the memory of its lists. It fails with
// ErrVersion, or with an error that describes what is wrong.
func Decode(b []byte, m *Message) error {
	r := reader{rest: b}
	if v := r.octet(); r.err == nil && v != protocolVersion {
		return fmt.Errorf("decoding a message: %w: %d", ErrVersion, v)
	}
	*m = Message{Kind: Kind(r.octet()), Suspects: m.Suspects[:0], Known: m.Known[:0], Missing: m.Missing[:0]}
	m.Sequence = r.number()
	m.Interval = r.duration()
	switch m.Kind {
	case KindHeartbeat:
		for range r.count(MaxSuspects, 8) {
			m.Suspects = append(m.Suspects, NodeID(binary.BigEndian.Uint64(r.bytes(8))))
		}
		for range r.count(MaxKnown, 8+4+1) {
			m.Known = append(m.Known, KnownState{ID: NodeID(binary.BigEndian.Uint64(r.bytes(8))), Process: [4]byte(r.bytes(4)), Sequence: r.number()})
		}
	case KindPull:
		m.About = NodeID(binary.BigEndian.Uint64(r.bytes(8)))
		m.Nonce, m.MissingOf = r.number(), r.number()
		for range r.count(MaxMissing, 2) {
			m.Missing = append(m.Missing, binary.BigEndian.Uint16(r.bytes(2)))
		}
	case KindAck:
		m.Acked = r.number()
	case KindState:
		m.Nonce = r.number()
		m.Piece = r.piece()
	default:
		r.fail(errBounds)
	}
	if r.err != nil {
		return fmt.Errorf("decoding a message: %w", r.err)
	}
	return nil
}

// piece reads a piece. Its index is less than its count.
func (r *reader) piece() Piece {
	p := Piece{About: NodeID(binary.BigEndian.Uint64(r.bytes(8)))}
	if p.About != 0 {
		copy(p.Instance[:], r.bytes(len(p.Instance)))
		p.Sequence = r.number()
	}
	p.Back = r.duration()
	index, count := r.number(), r.number()
	if count == 0 || count > MaxPieces || index >= count {
		r.fail(errBounds)
		return Piece{}
	}
	p.Index, p.Count = int(index), int(count)
	p.Data = r.bytes(r.count(PieceSize, 1))
	return p
}

// JoinState decodes a state from all its pieces.
func JoinState(pieces [][]byte) (State, error) {
	r := reader{rest: bytes.Join(pieces, nil)}
	s := r.state()
	if r.err != nil {
		return State{}, fmt.Errorf("decoding a state: %w", r.err)
	}
	return s, nil
}

// reader reads values one after the other. After the first error it returns zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) bytes(n int) []byte {
	if len(r.rest) < n {
		r.fail(errShort)
		return make([]byte, n)
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) octet() byte { return r.bytes(1)[0] }

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count reads how many items follow: no more than the given number, with at least the given number of
// bytes each. So the length of the message bounds the memory for the items.
func (r *reader) count(most, bytes int) int {
	n := r.number()
	if n > uint64(most) || n > uint64(len(r.rest)/bytes) {
		r.fail(errBounds)
		return 0
	}
	return int(n)
}

func (r *reader) duration() time.Duration {
	ms := r.number()
	if ms > uint64(maxDuration.Milliseconds()) {
		r.fail(errBounds)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func (r *reader) text(least, most int) string {
	n := r.number()
	if n < uint64(least) || n > uint64(most) {
		r.fail(errBounds)
		return ""
	}
	return string(r.bytes(int(n)))
}

func (r *reader) address() netip.Addr {
	n := r.octet()
	if n != 4 && n != 16 {
		r.fail(errBounds)
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(r.bytes(int(n)))
	return a
}

func (r *reader) state() State {
	s := State{Phase: ownership.Phase(r.octet())}
	if s.Phase > ownership.Isolated {
		r.fail(errBounds)
	}
	for range r.count(maxLinks, minLink) {
		s.Links = append(s.Links, r.link())
	}
	n := r.count(maxClaims, minClaim)
	s.Claims = make(ownership.Claims, n)
	for range n {
		a := r.address()
		epoch := r.number()
		if epoch > uint64(maxEpoch) {
			r.fail(errBounds)
		}
		if r.err != nil {
			break
		}
		s.Claims[a] = ownership.Epoch(epoch)
	}
	for range r.count(maxHeld, minAddress) {
		s.Held = append(s.Held, r.address())
	}
	return s
}

func (r *reader) link() Link {
	l := Link{Name: r.text(1, maxLinkName)}
	copy(l.Hardware[:], r.bytes(hardwareBytes))
	flags := r.octet()
	l.Internal, l.IPv4, l.IPv6 = flags&flagInternal != 0, flags&flagIPv4 != 0, flags&flagIPv6 != 0
	for range r.count(maxPrefixes, minClaim) {
		a := r.address()
		p := netip.PrefixFrom(a, int(r.octet()))
		if !p.IsValid() {
			r.fail(errBounds)
			break
		}
		l.Prefixes = append(l.Prefixes, p)
	}
	return l
}
