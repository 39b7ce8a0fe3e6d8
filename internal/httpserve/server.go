// Package httpserve serves health checks and metrics to clients that are not
// authenticated. It bounds the memory, descriptors and time that all of them together can
// use. A client that sends its request at once gets an answer also while others keep
// connections open or flood the port. The three programs serve HTTP through this package only.
package httpserve

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/netlimit"
)

const (
	// requestBytes bounds a request: its line and its headers.
	requestBytes = 4 << 10
	// sendTimeout is how long a client may take to send its request, tlsSendTimeout how long for the
	// handshake and then for the request, and receiveTimeout how long to send the request and take
	// the answer. The kubelet waits for 5 s, Prometheus for 10 s.
	sendTimeout, tlsSendTimeout, receiveTimeout = 2 * time.Second, 5 * time.Second, 12 * time.Second
)

var (
	// plainLimits: a connection takes up to some 30 KiB. 1000 are served each second: at this rate a
	// connection to a full port stays open for a second, which is enough for a probe.
	plainLimits = netlimit.Limits{Connections: 1024, Bytes: requestBytes, PerSecond: 1000}
	// tlsLimits: a connection takes up to some 70 KiB, and its handshake some ten times the
	// processor of a plain one. The bytes are those of a handshake, which may begin a second
	// time, and of a request with a token.
	tlsLimits = netlimit.Limits{Connections: 256, Bytes: 16 << 10, PerSecond: 100}
)

// Listen binds a TCP address, and returns the server that is to serve the handler there.
// Each connection carries one request. The listener cuts a request off that is too long, and a
// request with a body gets no answer: net/http's own ways to refuse these wait for half a second
// after the answer, in a goroutine that outlives the connection and that nothing bounds.
func Listen(address string, handler http.Handler, logger logr.Logger) (*http.Server, net.Listener, error) {
	return listenLimited(address, plainLimits, sendTimeout, handler, logger)
}

// ListenTLS is Listen with TLS 1.3. The function certificate is called for each connection.
func ListenTLS(address string, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), handler http.Handler, logger logr.Logger) (*http.Server, net.Listener, error) {
	server, listener, err := listenLimited(address, tlsLimits, tlsSendTimeout, handler, logger)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		GetCertificate: certificate, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		SessionTicketsDisabled: true, // a client connects each half minute
	}
	return server, tls.NewListener(listener, config), nil
}

func listenLimited(address string, limits netlimit.Limits, within time.Duration, handler http.Handler, logger logr.Logger) (*http.Server, net.Listener, error) {
	listener, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	server := &http.Server{
		Handler:           refuseBody(handler),
		MaxHeaderBytes:    int(2 * limits.Bytes), // the listener cuts a request off before
		ReadHeaderTimeout: within,
		ReadTimeout:       within,
		WriteTimeout:      receiveTimeout,
		// Errors of clients must not fill the log.
		ErrorLog: log.New(debugLines{logger}, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	return server, netlimit.NewListener(listener, limits), nil
}

// refuseBody ends the connection of a request that has a body, or announces one.
func refuseBody(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	})
}

// debugLines logs each line at debug level.
type debugLines struct{ logger logr.Logger }

// Write implements io.Writer.
func (l debugLines) Write(line []byte) (int, error) {
	l.logger.V(1).Info("serving HTTP", "problem", string(line))
	return len(line), nil
}
