package httpserve

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/servingcert"
)

// clientTLS does not verify the certificate, which the server has signed itself.
var clientTLS = &tls.Config{InsecureSkipVerify: true}

// askTLS sends a request as Prometheus does, and returns the status of the answer. The listener
// can take the source for another one that has just connected, and serves it when its rate allows.
func askTLS(t *testing.T, address string) int {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: clientTLS}}
	began := time.Now()
	response, err := client.Get("https://" + address + "/healthz")
	for errors.Is(err, syscall.ECONNRESET) && time.Since(began) < 5*time.Second {
		response, err = client.Get("https://" + address + "/healthz")
	}
	if err != nil {
		t.Fatalf("asking over TLS: %v", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestListenTLS_HeldConnections(t *testing.T) {
	for name, send := range map[string]func(net.Conn){
		"idle":                             func(net.Conn) {},
		"half a handshake":                 func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252}) },
		"request without TLS":              func(c net.Conn) { _, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") },
		"a handshake and nothing after it": func(c net.Conn) { _ = tls.Client(c, clientTLS).Handshake() },
	} {
		t.Run(name, func(t *testing.T) {
			address := serveTLS(t)
			var held []net.Conn
			// Each from another source: those of one are refused beyond the rate, and so are
			// those of two that the listener takes for one.
			for i := 0; len(held) < tlsLimits.Connections+20; i++ {
				from := net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}
				c, err := (&net.Dialer{LocalAddr: &from, Timeout: time.Second}).Dial("tcp", address)
				if err != nil {
					continue
				}
				t.Cleanup(func() { _ = c.Close() })
				_ = c.SetDeadline(time.Now().Add(time.Second))
				send(c)
				held = append(held, c)
			}
			began := time.Now()
			if status := askTLS(t, address); status != http.StatusOK {
				t.Errorf("got %d, want 200", status)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the answer took %s, want 5 s at most", took)
			}
			for i, c := range held {
				if !lost(t, c) {
					t.Fatalf("connection %d is still open after 10 s", i)
				}
			}
		})
	}
}

func TestListenTLS_RefusesOlderVersions(t *testing.T) {
	c := dial(t, "127.0.0.1", serveTLS(t))
	old := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err := old.Handshake(); err == nil {
		t.Errorf("a handshake of TLS 1.2 succeeded, want only 1.3")
	}
}

func serveTLS(t *testing.T) string {
	t.Helper()
	certificates := servingcert.New("", "test", logr.Discard())
	server, listener, err := ListenTLS("127.0.0.1:0", certificates.Get, HealthHandler(func() error { return nil }), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	run(t, server, listener)
	return listener.Addr().String()
}
