// Package httpserve serves health checks and metrics to clients that nobody has
// authenticated. What all of them together can take of memory, descriptors and time is
// bounded, and a client that sends its request at once is answered also while others hold
// or flood the port. The three programs serve HTTP through this package only.
package httpserve

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/netlimit"
)

const (
	// mostConnections are open at once on one port. Each takes up to some 30 KiB.
	mostConnections = 1024
	// perSecond connections are served each second on one port. At this rate one of a full
	// port stays for a second, which is enough for a probe.
	perSecond = 1000
	// requestBytes bounds a request: its line and its headers.
	requestBytes = 4 << 10
	// toSend is how long a client may take to send its request, and toReceive how long to
	// send the request and take the answer. The kubelet waits for 5 s, Prometheus for 10 s.
	toSend, toReceive = 2 * time.Second, 12 * time.Second
)

// Listen binds a TCP address, and returns the server that is to serve the handler there.
// Each connection carries one request. One that is too long is cut off by the listener, and
// one with a body is not answered: net/http's own ways to refuse these wait for half a second
// after the answer, in a goroutine that outlives the connection and that nothing bounds.
func Listen(address string, handler http.Handler, logger logr.Logger) (*http.Server, net.Listener, error) {
	listener, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	server := &http.Server{
		Handler:           withoutBody(handler),
		MaxHeaderBytes:    2 * requestBytes, // the listener ends it before
		ReadHeaderTimeout: toSend,
		ReadTimeout:       toSend,
		WriteTimeout:      toReceive,
		// What clients do wrong is not to fill the log.
		ErrorLog: log.New(lines{logger}, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	return server, netlimit.NewListener(listener, netlimit.Limits{Connections: mostConnections, Bytes: requestBytes, PerSecond: perSecond}), nil
}

// withoutBody ends the connection of a request that has a body, or says so.
func withoutBody(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	})
}

// lines logs each line at debug level.
type lines struct{ logger logr.Logger }

// Write implements io.Writer.
func (l lines) Write(line []byte) (int, error) {
	l.logger.V(1).Info("serving HTTP", "problem", string(line))
	return len(line), nil
}
