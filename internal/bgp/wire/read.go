// Package wire reads and writes BGP messages (RFC 4271 section 4) with the codec of GoBGP. Input from
// the network is bounded: a message has at most 4096 octets, and the content of an UPDATE is not
// parsed.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

const (
	headerOctets     = packet.BGP_HEADER_LENGTH
	maxMessageOctets = packet.BGP_MAX_MESSAGE_LENGTH
)

// minMessageOctets has the least length of each type of message (RFC 4271 section 6.1).
var minMessageOctets = map[uint8]int{
	packet.BGP_MSG_OPEN: headerOctets + 10, packet.BGP_MSG_UPDATE: headerOctets + 4, packet.BGP_MSG_NOTIFICATION: headerOctets + 2,
	packet.BGP_MSG_KEEPALIVE: headerOctets, packet.BGP_MSG_ROUTE_REFRESH: headerOctets + 4,
}

// Reader reads messages from a connection.
type Reader struct {
	from   io.Reader
	buffer [maxMessageOctets]byte
}

// NewReader returns a reader of a connection.
func NewReader(from io.Reader) *Reader { return &Reader{from: from} }

// Read returns the next message: a bgp.Open, *bgp.Notification or one of the messages of package session.
// After session.MalformedMessage the reader must not be used any more. Read returns an error only if reading
// from the connection fails.
func (r *Reader) Read() (any, error) {
	header := r.buffer[:headerOctets]
	if _, err := io.ReadFull(r.from, header); err != nil {
		return nil, err
	}
	for _, b := range header[:16] {
		if b != 0xff {
			return newMalformed(bgp.HeaderError, 1, nil), nil
		}
	}
	length, kind := int(binary.BigEndian.Uint16(header[16:18])), header[18]
	least, known := minMessageOctets[kind]
	if !known {
		return newMalformed(bgp.HeaderError, 3, []byte{kind}), nil
	}
	exact := kind == packet.BGP_MSG_KEEPALIVE && length != headerOctets
	if length < least || length > maxMessageOctets || exact {
		return newMalformed(bgp.HeaderError, 2, header[16:18]), nil
	}
	body := r.buffer[headerOctets:length]
	if _, err := io.ReadFull(r.from, body); err != nil {
		return nil, fmt.Errorf("reading the rest of a message: %w", err)
	}
	return decodeGuarded(kind, body, decodeMessage), nil
}

// decodeGuarded calls decode, and returns session.MalformedMessage if the codec panics: a message of a router must
// not end the speaker.
func decodeGuarded(kind uint8, body []byte, decode func(uint8, []byte) any) (message any) {
	defer func() {
		if recover() != nil {
			code := bgp.OpenError
			if kind != packet.BGP_MSG_OPEN {
				code = bgp.HeaderError
			}
			message = newMalformed(code, 0, nil)
		}
	}()
	return decode(kind, body)
}

func decodeMessage(kind uint8, body []byte) any {
	switch kind {
	case packet.BGP_MSG_OPEN:
		return decodeOpen(body)
	case packet.BGP_MSG_NOTIFICATION:
		return &bgp.Notification{Code: bgp.ErrorCode(body[0]), Subcode: body[1], Data: append([]byte(nil), body[2:]...)}
	case packet.BGP_MSG_UPDATE:
		return session.Update{}
	case packet.BGP_MSG_ROUTE_REFRESH:
		return session.RouteRefresh{}
	}
	return session.Keepalive{}
}

// CountMessages returns how many whole messages there are in octets that this side wrote, and how many of
// the messages are UPDATEs.
func CountMessages(octets []byte) (messages, updates int) {
	for len(octets) >= headerOctets {
		length, kind := int(binary.BigEndian.Uint16(octets[16:18])), octets[18]
		if length < headerOctets || length > len(octets) {
			break // the connection ended in the middle of the message
		}
		messages++
		if kind == packet.BGP_MSG_UPDATE {
			updates++
		}
		octets = octets[length:]
	}
	return messages, updates
}

func newMalformed(code bgp.ErrorCode, subcode uint8, data []byte) session.MalformedMessage {
	return session.MalformedMessage{Notification: &bgp.Notification{Code: code, Subcode: subcode, Data: append([]byte(nil), data...)}}
}

// toMalformed converts an error of the codec to a message with the notification that answers it.
func toMalformed(err error) session.MalformedMessage {
	var m *packet.MessageError
	if errors.As(err, &m) {
		return newMalformed(bgp.ErrorCode(m.TypeCode), m.SubTypeCode, m.Data)
	}
	return newMalformed(bgp.OpenError, 0, nil)
}
