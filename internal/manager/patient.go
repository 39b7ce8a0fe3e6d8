package manager

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// patient is the way to an API server that can be away: a request for which no connection can
// be made is tried again until its context ends. The API server has received nothing of it.
// In place of it the informers of client-go would back off for up to a minute, and the program
// would not notice for as long that the API server is back.
type patient struct {
	next http.RoundTripper
	log  logr.Logger
	// away means that the last attempt failed, so that an outage is logged once.
	away *atomic.Bool
}

// WrappedRoundTripper implements net.RoundTripperWrapper of apimachinery.
func (p patient) WrappedRoundTripper() http.RoundTripper { return p.next }

const (
	// tryAgain is how long after a failed attempt to connect the next one is made.
	tryAgain = 500 * time.Millisecond
	// connectWithin bounds such an attempt: the kernel sends what nobody answers again after up to
	// 16 s only.
	connectWithin = 2 * time.Second
	// keepAlive is the one of client-go.
	keepAlive = 30 * time.Second
)

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(request *http.Request) (*http.Response, error) {
	for attempt := request; ; {
		response, err := p.next.RoundTrip(attempt)
		if err == nil && p.away.CompareAndSwap(true, false) {
			p.log.Info("the API server is reached again")
		}
		if err == nil || !unconnected(err) || request.Body != nil && request.GetBody == nil {
			return response, err
		}
		if p.away.CompareAndSwap(false, true) {
			p.log.Error(err, "the API server cannot be reached: trying again every 500 ms")
		}
		if pause(request.Context(), tryAgain) != nil {
			return nil, err // which says more than the end of the context
		}
		attempt = request.Clone(request.Context())
		if request.GetBody != nil {
			body, bad := request.GetBody()
			if bad != nil {
				return nil, errors.Join(err, bad)
			}
			attempt.Body = body
		}
	}
}

// unconnected reports whether a request failed before there was a connection.
func unconnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
