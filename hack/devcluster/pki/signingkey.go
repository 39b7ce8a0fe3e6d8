package pki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// signingKeyBits is the size of the key: the minimum of RFC 7518 section 3.3 for RS256.
const signingKeyBits = 2048

// NewSigningKey returns a key that signs service account tokens (RSA, PKCS #8)
// and the public key that verifies them (PKIX).
func NewSigningKey() (privatePEM, publicPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, signingKeyBits)
	if err != nil {
		return nil, nil, fmt.Errorf("generating the key of service account tokens: %w", err)
	}
	if privatePEM, err = encodeKey(key); err != nil {
		return nil, nil, fmt.Errorf("encoding the key of service account tokens: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the public key of service account tokens: %w", err)
	}
	return privatePEM, encodePEM(publicKeyBlock, public), nil
}
