package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

const (
	// validity is how long every certificate of a test cluster is valid.
	validity = 365 * 24 * time.Hour
	// clockSkew is how long before its issue a certificate is valid already, so that
	// slow clocks accept the certificate.
	clockSkew = time.Hour
)

// CA is a certificate authority. It is safe for concurrent use.
type CA struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// Request describes a certificate. In the certificate of a client, Kubernetes reads the
// common name as the user name and the organizations as the groups.
type Request struct {
	CommonName    string
	Organizations []string
	DNSNames      []string
	Addresses     []netip.Addr
}

// KeyPair is a certificate and its private key (PKCS #8, RFC 5208), both PEM.
type KeyPair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// NewCA returns a new self-signed authority, valid for 365 days.
func NewCA(commonName string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the authority %q: %w", commonName, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of the authority %q: %w", commonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key of the authority %q: %w", commonName, err)
	}
	return ParseCA(encodePEM(certificateBlock, der), keyPEM)
}

// ParseCA returns the authority with this certificate and private key. It returns an error
// if the certificate does not belong to an authority, or if the key does not belong to the
// certificate.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	der, err := decodePEM(certificateBlock, certPEM)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the certificate of an authority: %w", err)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("the certificate of %q does not belong to a certificate authority", cert.Subject.CommonName)
	}
	if der, err = decodePEM(privateKeyBlock, keyPEM); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the key of the authority %q: %w", cert.Subject.CommonName, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key of the authority %q is a %T, want ECDSA", cert.Subject.CommonName, parsed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("the key does not belong to the certificate of the authority %q", cert.Subject.CommonName)
	}
	return &CA{cert: cert, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// CertPEM returns the certificate of the authority.
func (ca *CA) CertPEM() []byte { return ca.certPEM }

// KeyPEM returns the private key of the authority, PKCS #8.
func (ca *CA) KeyPEM() []byte { return ca.keyPEM }

// Issue makes a key and signs a certificate for the key. The certificate is for servers
// and clients. It is valid for 365 days, but not longer than the authority's certificate.
func (ca *CA) Issue(r Request) (KeyPair, error) {
	if r.CommonName == "" {
		return KeyPair{}, errors.New("a certificate needs a common name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("generating the key of %q: %w", r.CommonName, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: r.CommonName, Organization: r.Organizations})
	if err != nil {
		return KeyPair{}, err
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = r.DNSNames
	for _, address := range r.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.Unmap().AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("signing the certificate of %q: %w", r.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("encoding the key of %q: %w", r.CommonName, err)
	}
	return KeyPair{CertPEM: encodePEM(certificateBlock, der), KeyPEM: keyPEM}, nil
}

// newTemplate returns a template with the subject and with the fields that all
// certificates need.
func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	// A serial number must be positive and have at most 20 octets (RFC 5280 section
	// 4.1.2.2). 127 bits satisfy both.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generating the serial number of %q: %w", subject.CommonName, err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(validity),
	}, nil
}
