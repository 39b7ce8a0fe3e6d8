package pki_test

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/hack/devcluster/pki"
)

func newCA(t *testing.T, name string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(name)
	if err != nil {
		t.Fatalf("New(%q): %v", name, err)
	}
	return ca
}

func issue(t *testing.T, ca *pki.CA, r pki.Request) (pki.KeyPair, *x509.Certificate) {
	t.Helper()
	pair, err := ca.Issue(r)
	if err != nil {
		t.Fatalf("Issue(%+v): %v", r, err)
	}
	loaded, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatalf("the key does not fit the certificate: %v", err)
	}
	return pair, loaded.Leaf
}

func roots(t *testing.T, ca *pki.CA) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.CertPEM()) {
		t.Fatal("the certificate of the authority is not PEM")
	}
	return pool
}

func TestIssuedCertificates(t *testing.T) {
	ca, other := newCA(t, "testbed"), newCA(t, "other")
	_, cert := issue(t, ca, pki.Request{
		CommonName:    "kube-apiserver",
		Organizations: []string{"system:masters"},
		DNSNames:      []string{"kubernetes.default.svc"},
		Addresses: []netip.Addr{
			netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:10.96.0.1"), netip.MustParseAddr("fd96::1"),
		},
	})
	for _, tc := range []struct {
		name  string
		ca    *pki.CA
		host  string
		usage x509.ExtKeyUsage
		valid bool
	}{
		{"a server is known by its name", ca, "kubernetes.default.svc", x509.ExtKeyUsageServerAuth, true},
		{"a server is known by its IPv4 address", ca, "127.0.0.1", x509.ExtKeyUsageServerAuth, true},
		{"an IPv4 address in IPv6 clothes is an IPv4 address", ca, "10.96.0.1", x509.ExtKeyUsageServerAuth, true},
		{"a server is known by its IPv6 address", ca, "fd96::1", x509.ExtKeyUsageServerAuth, true},
		{"a client may use it", ca, "", x509.ExtKeyUsageClientAuth, true},
		{"another name is refused", ca, "example.org", x509.ExtKeyUsageServerAuth, false},
		{"another authority of the same kind is refused", other, "127.0.0.1", x509.ExtKeyUsageServerAuth, false},
		{"code is not signed with it", ca, "", x509.ExtKeyUsageCodeSigning, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := cert.Verify(x509.VerifyOptions{
				DNSName: tc.host, Roots: roots(t, tc.ca), KeyUsages: []x509.ExtKeyUsage{tc.usage},
			})
			if got := err == nil; got != tc.valid {
				t.Errorf("got valid %v (%v), want %v", got, err, tc.valid)
			}
		})
	}
	if got, want := cert.Subject.String(), "CN=kube-apiserver,O=system:masters"; got != want {
		t.Errorf("subject: got %s, want %s", got, want)
	}
	if left := time.Until(cert.NotAfter); left < 364*24*time.Hour || left > 365*24*time.Hour {
		t.Errorf("validity: got %s, want nearly 365 days", left)
	}
	if cert.IsCA {
		t.Error("an issued certificate may sign others")
	}
}

func TestIssueRefusesAnEmptyName(t *testing.T) {
	if _, err := newCA(t, "testbed").Issue(pki.Request{}); err == nil {
		t.Error("got no error, want one")
	}
}

func TestParsedAuthoritySignsForTheOriginal(t *testing.T) {
	original := newCA(t, "testbed")
	parsed, err := pki.ParseCA(original.CertPEM(), original.KeyPEM())
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	_, cert := issue(t, parsed, pki.Request{CommonName: "admin", DNSNames: []string{"admin"}})
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "admin", Roots: roots(t, original)}); err != nil {
		t.Errorf("the original authority does not know the certificate: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	ca, other := newCA(t, "testbed"), newCA(t, "other")
	leaf, _ := issue(t, ca, pki.Request{CommonName: "leaf"})
	for _, tc := range []struct {
		name      string
		cert, key []byte
	}{
		{"a key of another authority", ca.CertPEM(), other.KeyPEM()},
		{"a certificate that may not sign", leaf.CertPEM, leaf.KeyPEM},
		{"a certificate in the place of the key", ca.CertPEM(), ca.CertPEM()},
		{"text that is not PEM", []byte("nothing"), ca.KeyPEM()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := pki.ParseCA(tc.cert, tc.key); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
}

func TestKubeconfig(t *testing.T) {
	ca := newCA(t, "testbed")
	pair, _ := issue(t, ca, pki.Request{CommonName: "admin"})
	text := pki.Kubeconfig("https://127.0.0.1:6443", ca.CertPEM(), pair)

	var got any
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatalf("not YAML: %v\n%s", err, text)
	}
	data := base64.StdEncoding.EncodeToString
	type object = map[string]any
	want := object{
		"apiVersion": "v1", "kind": "Config", "current-context": "devcluster",
		"clusters": []any{object{"name": "devcluster", "cluster": object{
			"server": "https://127.0.0.1:6443", "certificate-authority-data": data(ca.CertPEM()),
		}}},
		"users": []any{object{"name": "devcluster", "user": object{
			"client-certificate-data": data(pair.CertPEM), "client-key-data": data(pair.KeyPEM),
		}}},
		"contexts": []any{object{"name": "devcluster", "context": object{"cluster": "devcluster", "user": "devcluster"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kubeconfig (-want +got):\n%s", diff)
	}
	if text[0] == '{' {
		t.Error("the file begins with a brace and would be taken for JSON")
	}
}

func TestSigningKeyHasItsPublicHalf(t *testing.T) {
	private, public, err := pki.NewSigningKey()
	if err != nil {
		t.Fatalf("NewSigningKey: %v", err)
	}
	privateBlock, _ := pem.Decode(private)
	publicBlock, _ := pem.Decode(public)
	if privateBlock == nil || publicBlock == nil {
		t.Fatalf("not PEM: %q, %q", private, public)
	}
	key, err := x509.ParsePKCS8PrivateKey(privateBlock.Bytes)
	if err != nil {
		t.Fatalf("the private key: %v", err)
	}
	half, err := x509.ParsePKIXPublicKey(publicBlock.Bytes)
	if err != nil {
		t.Fatalf("the public key: %v", err)
	}
	signer, ok := key.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the private key: got %T, want RSA", key)
	}
	if !signer.PublicKey.Equal(half) {
		t.Error("the public key is not the half of the private one")
	}
}
