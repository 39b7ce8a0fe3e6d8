package session

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/lbstack/lbstack/internal/mesh/wire"
)

const (
	// KeySize is the length of a key in bytes.
	KeySize = 32
	// MaxKeys is how many keys a table has at most.
	MaxKeys = 4

	cipherPurpose, idPurpose = "lbstack mesh cipher 1", "lbstack mesh key id 1"
)

// keyID names a key in the header of a datagram. It is derived from the key and does
// not reveal it.
type keyID [4]byte

// Key is one of the keys that speakers share. The zero value is no key. The key is behind a function:
// fmt would print the target of a pointer, even in an unexported field.
type Key struct{ derived func() *derivedKey }

// derivedKey has two independent values that are derived from a key (RFC 5869 section 3.2).
type derivedKey struct {
	id     keyID
	cipher [chacha20poly1305.KeySize]byte
}

// ParseKey returns the key of KeySize bytes. The error does not contain these bytes.
func ParseKey(key []byte) (Key, error) {
	if len(key) != KeySize {
		return Key{}, fmt.Errorf("reading a key of the mesh: the key has %d bytes, and %d are required", len(key), KeySize)
	}
	secret, err1 := hkdf.Key(sha256.New, key, nil, cipherPurpose, chacha20poly1305.KeySize)
	id, err2 := hkdf.Key(sha256.New, key, nil, idPurpose, len(keyID{}))
	if err := errors.Join(err1, err2); err != nil {
		return Key{}, fmt.Errorf("deriving the cipher of the mesh: %w", err)
	}
	if _, err := chacha20poly1305.New(secret); err != nil { // FIPS 140-only mode has no such cipher
		return Key{}, fmt.Errorf("preparing the cipher of the mesh: %w", err)
	}
	d := &derivedKey{id: keyID(id), cipher: [chacha20poly1305.KeySize]byte(secret)}
	return Key{func() *derivedKey { return d }}, nil
}

// Format implements fmt.Formatter for every verb: the key is never shown.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// String hides the key.
func (k Key) String() string {
	if k.derived == nil {
		return "none"
	}
	return "hidden"
}

// MarshalText hides the key from encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// equal compares keys by value.
func (k Key) equal(other Key) bool {
	return k.derived != nil && other.derived != nil && *k.derived() == *other.derived()
}

// instanceCipher returns the cipher for the datagrams of one instance. Its nonce is the counter of the
// datagram. The result is that of XChaCha20-Poly1305 with the nonce instance || counter
// (draft-irtf-cfrg-xchacha-03 section 2.3): the first 16 bytes of that nonce only select the key of
// the returned cipher. So this key is computed once for an instance.
func (k Key) instanceCipher(instance wire.Instance) cipher.AEAD {
	secret, err := chacha20.HChaCha20(k.derived().cipher[:], instance[:])
	if err != nil {
		panic(err) // the sizes are constants
	}
	aead, err := chacha20poly1305.New(secret)
	if err != nil {
		panic(err) // ParseKey has made one with a key of this size
	}
	return aead
}
