package servingcert

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
)

// write puts a new certificate of a name into a folder, as PEM.
func write(t *testing.T, folder, name string) {
	t.Helper()
	c, err := selfSign(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalECPrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "EC PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(folder, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func leaf(t *testing.T, c *tls.Certificate) *x509.Certificate {
	t.Helper()
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestGet_FollowsTheFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		s := New(folder, "own", logr.Discard())
		for _, step := range []struct {
			name, want string
			does       func()
			after      time.Duration
		}{
			{name: "no file: a certificate of its own", does: func() {}, want: "own"},
			{name: "a Secret is made: not looked at again so soon", does: func() { write(t, folder, "given") }, after: readInterval - 1, want: "own"},
			{name: "a Secret is made: used", does: func() {}, after: 1, want: "given"},
			{name: "it is replaced", does: func() { write(t, folder, "next") }, after: readInterval, want: "next"},
			{name: "it is not valid: the last valid one stays", does: func() {
				if err := os.WriteFile(filepath.Join(folder, keyFile), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}, after: readInterval, want: "next"},
			{name: "it is valid again", does: func() { write(t, folder, "again") }, after: readInterval, want: "again"},
			{name: "it is deleted: its own again", does: func() {
				if err := os.Remove(filepath.Join(folder, certificateFile)); err != nil {
					t.Fatal(err)
				}
			}, after: readInterval, want: "own"},
		} {
			step.does()
			time.Sleep(step.after)
			got, err := s.Get(nil)
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if cn := leaf(t, got).Subject.CommonName; cn != step.want {
				t.Errorf("%s: got the certificate of %q, want %q", step.name, cn, step.want)
			}
		}
	})
}

func TestGet_RenewsItsOwnBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New("", "own", logr.Discard())
		first, err := s.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.Get(nil); err != nil || again != first {
			t.Errorf("got another certificate at once, or the error %v", err)
		}
		time.Sleep(certificateLifetime - renewalPeriod)
		second, err := s.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(leaf(t, second).NotAfter); second == first || left < certificateLifetime-time.Minute {
			t.Errorf("%s before its end: got a certificate that is valid for %s, want one for %s", renewalPeriod, left, certificateLifetime)
		}
	})
}
