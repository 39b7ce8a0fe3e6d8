package membership

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// marker begins each datagram with a message of ours, and quietMarker those with a quiet
	// one. memberlist's begin with the version of its encryption, 0 or 1.
	marker, quietMarker = 0xB1, 0xB2
	// purpose keeps the key apart from the one that memberlist encrypts with.
	purpose = "lbstack mesh datagram 1"
	// datagramOverhead is by how much a datagram is longer than its message, in bytes.
	datagramOverhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

var errForged = errors.New("it was not made with the key of the mesh")

// sealer encrypts the messages that go by UDP. They come and go many times a second, so
// that they do without memberlist: it makes a cipher for each, and hands each from one
// goroutine to the next three times. Nonces are random and of 24 bytes (XChaCha20-Poly1305,
// draft-irtf-cfrg-xchacha-03): no number of messages brings two of the same.
type sealer struct{ aead cipher.AEAD }

// newSealer derives the key from that of the mesh (RFC 5869).
func newSealer(key []byte) (sealer, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, chacha20poly1305.KeySize)
	if err != nil {
		return sealer{}, fmt.Errorf("deriving the key of datagrams: %w", err)
	}
	aead, err := chacha20poly1305.NewX(derived)
	if err != nil {
		return sealer{}, fmt.Errorf("preparing the cipher of datagrams: %w", err)
	}
	return sealer{aead}, nil
}

// seal returns a message as a datagram.
func (s sealer) seal(message []byte, quiet bool) []byte {
	datagram := make([]byte, 1+chacha20poly1305.NonceSizeX, datagramOverhead+len(message))
	datagram[0] = marker
	if quiet {
		datagram[0] = quietMarker
	}
	nonce := datagram[1:]
	_, _ = rand.Read(nonce) // it never fails: the program ends instead
	return s.aead.Seal(datagram, nonce, message, datagram[:1])
}

// isSealed says whether a datagram is one of these.
func isSealed(datagram []byte) bool {
	return len(datagram) > 0 && (datagram[0] == marker || datagram[0] == quietMarker)
}

// open returns the message of a datagram, in the memory of it.
func (s sealer) open(datagram []byte) ([]byte, error) {
	const header = 1 + chacha20poly1305.NonceSizeX
	if len(datagram) < header {
		return nil, errForged
	}
	message, err := s.aead.Open(datagram[header:header], datagram[1:header], datagram[header:], datagram[:1])
	if err != nil {
		return nil, errForged
	}
	return message, nil
}
