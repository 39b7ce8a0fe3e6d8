package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
)

// The errors of Decode. Each stands for a rule of RFC 5880 section 6.8.6 that the packet breaks; rules
// that need the session are not checked here.
var (
	ErrVersion        = errors.New("the version is not 1")
	ErrLength         = errors.New("the length is wrong")
	ErrMultiplier     = errors.New("the multiplier is 0")
	ErrMultipoint     = errors.New("the multipoint bit is set")
	ErrDiscriminator  = errors.New("the sender's discriminator is 0")
	ErrNoSession      = errors.New("the receiver's discriminator is 0, although the state is Init or Up")
	ErrAuthentication = errors.New("the packet has authentication, which is not supported")
)

// Decode parses a packet, and checks it in the order of RFC 5880 section 6.8.6. Bytes after the packet's
// own length are ignored.
func Decode(b []byte) (Packet, error) {
	if err := checkPacket(b); err != nil {
		return Packet{}, fmt.Errorf("decoding a BFD control packet: %w", err)
	}
	return Packet{
		Diagnostic:        bfd.Diagnostic(b[0] & 0x1f),
		State:             bfd.State(b[1] >> 6),
		Poll:              b[1]&flagPoll != 0,
		Final:             b[1]&flagFinal != 0,
		Independent:       b[1]&flagIndependent != 0,
		Demand:            b[1]&flagDemand != 0,
		Multiplier:        b[2],
		Mine:              binary.BigEndian.Uint32(b[4:]),
		Yours:             binary.BigEndian.Uint32(b[8:]),
		DesiredMinTx:      parseInterval(b[12:]),
		RequiredMinRx:     parseInterval(b[16:]),
		RequiredMinEchoRx: parseInterval(b[20:]),
	}, nil
}

func checkPacket(b []byte) error {
	switch {
	case len(b) < PacketSize:
		return ErrLength
	case b[0]>>5 != bfdVersion:
		return ErrVersion
	case b[3] < PacketSize || int(b[3]) > len(b):
		return ErrLength
	case b[2] == 0:
		return ErrMultiplier
	case b[1]&flagMultipoint != 0:
		return ErrMultipoint
	case binary.BigEndian.Uint32(b[4:]) == 0:
		return ErrDiscriminator
	case binary.BigEndian.Uint32(b[8:]) == 0 && bfd.State(b[1]>>6) > bfd.Down:
		return ErrNoSession
	case b[1]&flagAuthentication != 0:
		return ErrAuthentication
	}
	return nil
}

func parseInterval(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// Encode returns the bytes of a packet.
func Encode(p Packet) []byte {
	b := make([]byte, PacketSize)
	b[0] = bfdVersion<<5 | byte(p.Diagnostic)&0x1f
	b[1] = byte(p.State) << 6
	b[1] |= flagBit(p.Poll, flagPoll) | flagBit(p.Final, flagFinal) | flagBit(p.Independent, flagIndependent) | flagBit(p.Demand, flagDemand)
	b[2], b[3] = p.Multiplier, PacketSize
	binary.BigEndian.PutUint32(b[4:], p.Mine)
	binary.BigEndian.PutUint32(b[8:], p.Yours)
	binary.BigEndian.PutUint32(b[12:], toMicroseconds(p.DesiredMinTx))
	binary.BigEndian.PutUint32(b[16:], toMicroseconds(p.RequiredMinRx))
	binary.BigEndian.PutUint32(b[20:], toMicroseconds(p.RequiredMinEchoRx))
	return b
}

func flagBit(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// toMicroseconds converts an interval to microseconds, within the bounds of what a packet can have.
func toMicroseconds(d time.Duration) uint32 {
	return uint32(min(max(d, 0), MaxInterval) / time.Microsecond)
}
