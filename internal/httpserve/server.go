// Package httpserve serves health checks and metrics to clients that are not authenticated yet. It limits the
// memory, the descriptors and the time that all clients together can use. A client that sends its request at
// once gets an answer even while other clients keep connections open or flood the port. The three programs
// serve HTTP only through this package.
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
	// maxRequestBytes is the maximum size of a request: its request line and its headers.
	maxRequestBytes = 4 << 10
	// sendTimeout is how long a client may take to send its request.
	sendTimeout = 2 * time.Second
	// tlsSendTimeout is how long a TLS client may take for the handshake, and then the same time once more
	// for the request.
	tlsSendTimeout = 5 * time.Second
	// receiveTimeout is how long a client may take to send its request and to receive the answer. The
	// kubelet waits for 5 s, and Prometheus for 10 s.
	receiveTimeout = 12 * time.Second
)

var (
	// plainLimits are the limits of a port without TLS. A connection takes up to some 30 KiB. If clients open
	// 1000 connections a second, the full port closes each connection about a second after it was opened,
	// which is enough time for a probe.
	plainLimits = netlimit.Limits{Connections: 1024, Bytes: maxRequestBytes, PerSecond: 1000}
	// tlsLimits are the limits of a port with TLS. A connection takes up to some 70 KiB, and its handshake
	// takes some ten times the processor time of a plain connection. The bytes are enough for a handshake
	// that begins a second time (after a HelloRetryRequest), and for a request with a token.
	tlsLimits = netlimit.Limits{Connections: 256, Bytes: 16 << 10, PerSecond: 100}
)

// Listen opens a TCP listener, and returns it with a server for the handler. The caller makes the server
// serve on the listener. Each connection carries one request. The listener ends the connection of a request
// that is too long, and the server ends that of a request with a body. net/http could refuse such requests
// with an answer, but it would then wait for half a second in a goroutine that outlives the connection.
// net/http does not limit the number of these goroutines.
func Listen(address string, handler http.Handler, logger logr.Logger) (*http.Server, net.Listener, error) {
	return listenLimited(address, plainLimits, sendTimeout, handler, logger)
}

// ListenTLS is Listen with TLS 1.3. It calls the function certificate for each connection.
func ListenTLS(address string, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), handler http.Handler, logger logr.Logger) (*http.Server, net.Listener, error) {
	server, listener, err := listenLimited(address, tlsLimits, tlsSendTimeout, handler, logger)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		GetCertificate: certificate, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		SessionTicketsDisabled: true, // tickets would save little, since clients connect only about twice a minute
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
		MaxHeaderBytes:    int(2 * limits.Bytes), // never reached: the listener ends the connection before
		ReadHeaderTimeout: within,
		ReadTimeout:       within,
		WriteTimeout:      receiveTimeout,
		// Errors of clients must not fill the log.
		ErrorLog: log.New(debugWriter{logger}, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	return server, netlimit.NewListener(listener, limits), nil
}

// refuseBody returns a handler that ends the connection of a request with a body.
func refuseBody(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	})
}

// debugWriter logs each line at debug level.
type debugWriter struct{ logger logr.Logger }

// Write implements io.Writer.
func (l debugWriter) Write(line []byte) (int, error) {
	l.logger.V(1).Info("the HTTP server reported a problem with a connection", "problem", string(line))
	return len(line), nil
}
