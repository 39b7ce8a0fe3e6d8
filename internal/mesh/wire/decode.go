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
var ErrVersion = errors.New("the version is not supported")

var (
	errShort  = errors.New("the data ends too early")
	errBounds = errors.New("a value is out of bounds")
)

// Decode reads a message into m, and reuses the memory of its lists. It fails with
// ErrVersion, or with an error that describes what is wrong.
func Decode(b []byte, m *Message) error {
	r := reader{rest: b}
	if v := r.readOctet(); r.err == nil && v != protocolVersion {
		return fmt.Errorf("decoding a message: %w: %d", ErrVersion, v)
	}
	*m = Message{Kind: Kind(r.readOctet()), Suspects: m.Suspects[:0], Known: m.Known[:0], Missing: m.Missing[:0]}
	m.Sequence = r.readNumber()
	m.Interval = r.readDuration()
	switch m.Kind {
	case KindHeartbeat:
		for range r.readCount(MaxSuspects, 8) {
			m.Suspects = append(m.Suspects, NodeID(binary.BigEndian.Uint64(r.readBytes(8))))
		}
		for range r.readCount(MaxKnownStates, 8+4+1) {
			m.Known = append(m.Known, KnownState{ID: NodeID(binary.BigEndian.Uint64(r.readBytes(8))), Process: [4]byte(r.readBytes(4)), Sequence: r.readNumber()})
		}
	case KindPull:
		m.About = NodeID(binary.BigEndian.Uint64(r.readBytes(8)))
		m.Nonce, m.MissingOf = r.readNumber(), r.readNumber()
		for range r.readCount(MaxMissingPieces, 2) {
			m.Missing = append(m.Missing, binary.BigEndian.Uint16(r.readBytes(2)))
		}
	case KindAck:
		m.Acked = r.readNumber()
	case KindState:
		m.Nonce = r.readNumber()
		m.Piece = r.readPiece()
	default:
		r.fail(errBounds)
	}
	if r.err != nil {
		return fmt.Errorf("decoding a message: %w", r.err)
	}
	return nil
}

// readPiece reads a piece. Its index is less than its count.
func (r *reader) readPiece() Piece {
	p := Piece{About: NodeID(binary.BigEndian.Uint64(r.readBytes(8)))}
	if p.About != 0 {
		copy(p.Instance[:], r.readBytes(len(p.Instance)))
		p.Sequence = r.readNumber()
	}
	p.Back = r.readDuration()
	index, count := r.readNumber(), r.readNumber()
	if count == 0 || count > MaxPieces || index >= count {
		r.fail(errBounds)
		return Piece{}
	}
	p.Index, p.Count = int(index), int(count)
	p.Data = r.readBytes(r.readCount(PieceSize, 1))
	return p
}

// JoinState decodes a state from all its pieces.
func JoinState(pieces [][]byte) (State, error) {
	r := reader{rest: bytes.Join(pieces, nil)}
	s := r.readState()
	if r.err != nil {
		return State{}, fmt.Errorf("decoding a state: %w", r.err)
	}
	return s, nil
}

// reader reads one value after the other. After the first error it returns zeros.
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

func (r *reader) readBytes(n int) []byte {
	if len(r.rest) < n {
		r.fail(errShort)
		return make([]byte, n)
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) readOctet() byte { return r.readBytes(1)[0] }

func (r *reader) readNumber() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// readCount reads how many items follow. It fails if there are more items than allowed (most). It also
// fails if the rest of the message is too short for them; each item has at least the given number of
// bytes. So the length of the message bounds the memory for the items.
func (r *reader) readCount(most, bytes int) int {
	n := r.readNumber()
	if n > uint64(most) || n > uint64(len(r.rest)/bytes) {
		r.fail(errBounds)
		return 0
	}
	return int(n)
}

func (r *reader) readDuration() time.Duration {
	ms := r.readNumber()
	if ms > uint64(maxDuration.Milliseconds()) {
		r.fail(errBounds)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func (r *reader) readText(least, most int) string {
	n := r.readNumber()
	if n < uint64(least) || n > uint64(most) {
		r.fail(errBounds)
		return ""
	}
	return string(r.readBytes(int(n)))
}

func (r *reader) readAddress() netip.Addr {
	n := r.readOctet()
	if n != 4 && n != 16 {
		r.fail(errBounds)
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(r.readBytes(int(n)))
	return a
}

func (r *reader) readState() State {
	s := State{Phase: ownership.Phase(r.readOctet())}
	if s.Phase > ownership.Isolated {
		r.fail(errBounds)
	}
	for range r.readCount(maxLinks, minLinkBytes) {
		s.Links = append(s.Links, r.readLink())
	}
	n := r.readCount(maxClaims, minClaimBytes)
	s.Claims = make(ownership.Claims, n)
	for range n {
		a := r.readAddress()
		epoch := r.readNumber()
		if epoch > uint64(maxEpoch) {
			r.fail(errBounds)
		}
		if r.err != nil {
			break
		}
		s.Claims[a] = ownership.Epoch(epoch)
	}
	for range r.readCount(MaxHeldAddresses, minAddressBytes) {
		s.Held = append(s.Held, r.readAddress())
	}
	return s
}

func (r *reader) readLink() Link {
	l := Link{Name: r.readText(1, maxLinkNameBytes)}
	copy(l.Hardware[:], r.readBytes(hardwareBytes))
	flags := r.readOctet()
	l.Internal, l.IPv4, l.IPv6 = flags&flagInternal != 0, flags&flagIPv4 != 0, flags&flagIPv6 != 0
	for range r.readCount(maxPrefixes, minClaimBytes) {
		a := r.readAddress()
		p := netip.PrefixFrom(a, int(r.readOctet()))
		if !p.IsValid() {
			r.fail(errBounds)
			break
		}
		l.Prefixes = append(l.Prefixes, p)
	}
	return l
}
