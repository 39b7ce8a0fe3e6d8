package manager

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// redialer is a transport that repeats a request while no connection to the API server can be made. This is
// safe, since the API server has received nothing of such a request. Without the repetition the informers of
// client-go would back off for up to a minute, and notice only then that the API server is back.
type redialer struct {
	next http.RoundTripper
	log  logr.Logger
	// away means that the last attempt to connect failed. With it an outage is logged only once.
	away *atomic.Bool
}

// WrappedRoundTripper implements net.RoundTripperWrapper of apimachinery.
func (p redialer) WrappedRoundTripper() http.RoundTripper { return p.next }

const (
	// redialInterval is the wait after a failed attempt to connect.
	redialInterval = 500 * time.Millisecond
	// connectTimeout is how long one attempt to connect may take. Without it an attempt would last long,
	// since the kernel waits up to 16 s before it repeats a packet without an answer.
	connectTimeout = 2 * time.Second
	// keepAliveInterval is the TCP keep-alive interval, as in client-go.
	keepAliveInterval = 30 * time.Second
)

// RoundTrip implements http.RoundTripper.
func (p redialer) RoundTrip(request *http.Request) (*http.Response, error) {
	for attempt := request; ; {
		response, err := p.next.RoundTrip(attempt)
		if err == nil && p.away.CompareAndSwap(true, false) {
			p.log.Info("connected to the API server again")
		}
		if err == nil || !isDialError(err) || request.Body != nil && request.GetBody == nil {
			return response, err
		}
		if p.away.CompareAndSwap(false, true) {
			p.log.Error(err, "the API server cannot be reached: trying again every 500 ms")
		}
		if waitFor(request.Context(), redialInterval) != nil {
			return nil, err // this error is more specific than the error of the context
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

// isDialError reports whether a request failed because no connection could be made.
func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
