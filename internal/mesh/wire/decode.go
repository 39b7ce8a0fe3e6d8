package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// ErrVersion says that a message is of a version that is not known here.
var ErrVersion = errors.New("a version that is not known")

var (
	errShort  = errors.New("it ends too early")
	errBounds = errors.New("a value is out of bounds")
)

// Decode reads a message. It fails with ErrVersion, or with an error that says
// what is wrong with it.
func Decode(b []byte) (*Message, error) {
	r := reader{rest: b}
	if v := r.octet(); r.err == nil && v != version {
		return nil, fmt.Errorf("reading a message: %w: %d", ErrVersion, v)
	}
	m := &Message{Kind: Kind(r.octet())}
	m.From = lb.NodeName(r.text(1, maxName))
	m.Incarnation, m.Sequence = r.number(), r.number()
	m.Interval = r.duration()
	switch m.Kind {
	case KindBeat:
		for range r.count(maxSuspects, 2) {
			m.Suspects = append(m.Suspects, lb.NodeName(r.text(1, maxName)))
		}
	case KindPull:
		m.Nonce = r.number()
	case KindAck:
		m.AckedIncarnation, m.AckedSequence = r.number(), r.number()
	case KindState:
		m.Nonce = r.number()
		m.State = r.state()
	default:
		r.fail(errBounds)
	}
	if len(r.rest) > 0 {
		flags := r.octet()
		m.Stream, m.Deaf = flags&flagStream != 0, flags&(flagStream|flagDeaf) == flagStream|flagDeaf
	}
	if r.err != nil {
		return nil, fmt.Errorf("reading a message: %w", r.err)
	}
	return m, nil
}

// reader takes values from the front. After the first error it returns zeros.
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

// count reads how many items follow. Each has at least that many bytes, so that no
// more memory is taken than the message is long.
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
	s := State{Phase: ownership.Phase(r.octet()), Back: r.duration()}
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
		if epoch > maxEpoch {
			r.fail(errBounds)
		}
		if r.err != nil {
			break
		}
		s.Claims[a] = ownership.Epoch(epoch)
	}
	if len(r.rest) == 0 {
		return s // of a speaker from before there was more
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
