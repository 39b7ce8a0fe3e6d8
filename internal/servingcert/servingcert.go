// Package servingcert provides the certificate with which a program serves TLS. The kubelet writes the
// certificate of a Secret into a folder. Without such a certificate, the program uses a certificate that it
// has signed itself.
package servingcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

const (
	// readInterval is the shortest time between two reads of the folder. The folder is read again for the
	// first connection after this time.
	readInterval = 10 * time.Second
	// certificateLifetime is how long a certificate that the program has signed is valid.
	certificateLifetime = 365 * 24 * time.Hour
	// renewalPeriod is how long before its expiry the program replaces such a certificate by a new one.
	renewalPeriod = 30 * 24 * time.Hour
)

// The files in the folder have the names of the entries in a Secret of the type kubernetes.io/tls.
const certificateFile, keyFile = "tls.crt", "tls.key"

// Source provides the certificate. It is safe for concurrent use. Make it with New.
type Source struct {
	folder, name string
	log          logr.Logger

	mu      sync.Mutex
	looked  time.Time        // when the folder was read last
	problem string           // the error about the folder that was logged last
	given   *tls.Certificate // the last valid certificate in the folder; nil: the folder has none
	own     *tls.Certificate // the certificate that the program signed
	renew   time.Time        // when a new certificate replaces the one in own
}

// New returns a source that uses the certificate in a folder, which need not exist. The name of the program
// is for the certificate that the program signs itself.
func New(folder, name string, log logr.Logger) *Source {
	return &Source{folder: folder, name: name, log: log}
}

// Get returns the certificate for a new connection. Its type is that of tls.Config.GetCertificate. If the
// files in the folder become invalid, the last valid certificate stays in use.
func (s *Source) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.looked.IsZero() || now.Sub(s.looked) >= readInterval {
		s.looked = now
		s.readFolder()
	}
	if s.given != nil {
		return s.given, nil
	}
	if s.own == nil || !now.Before(s.renew) {
		own, err := selfSign(s.name, now)
		if err != nil {
			return nil, fmt.Errorf("making a certificate for %s: %w", s.name, err)
		}
		s.own, s.renew = own, now.Add(certificateLifetime-renewalPeriod)
	}
	return s.own, nil
}

// readFolder reads the folder. The caller holds the lock.
func (s *Source) readFolder() {
	given, err := readCertificate(s.folder)
	switch {
	case err == nil:
		s.given, s.problem = given, ""
	case errors.Is(err, fs.ErrNotExist):
		s.given, s.problem = nil, ""
	case err.Error() != s.problem:
		s.problem = err.Error()
		s.log.Error(err, "the certificate for metrics is not valid: the last valid certificate or, without one, a self-signed certificate is used")
	}
}

// readCertificate returns the certificate in a folder. It returns fs.ErrNotExist if the folder has none.
func readCertificate(folder string) (*tls.Certificate, error) {
	if folder == "" {
		return nil, fs.ErrNotExist
	}
	chain, err := os.ReadFile(filepath.Join(folder, certificateFile))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(folder, keyFile))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s and %s in %s: %w", certificateFile, keyFile, folder, err)
	}
	return &pair, nil
}

// selfSign makes a key and a certificate that is signed with this key. The key is only in memory.
func selfSign(name string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLifetime), // it is valid from an hour ago, since clocks differ
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
