// Package access restricts the metrics of a program to users that may read them. The API
// server decides: a TokenReview returns whose a bearer token is, and a SubjectAccessReview whether
// this user may get the path. What clients without access cost the API server is bounded,
// however many there are and whatever they send. The three programs use it through package
// manager.
package access

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
)

const (
	// admittedFor and refusedFor are how long a decision about a token is used again.
	admittedFor, refusedFor = time.Minute, 10 * time.Second
	// mostAdmitted and mostRefused decisions are stored.
	mostAdmitted, mostRefused = 64, 256
	// knownFor is how long an address counts as one of a client with access, and mostKnown
	// addresses do.
	knownFor, mostKnown = time.Hour, 64
	// Tokens reviewed each second, and at once, of addresses without and with a client that
	// has had access. Of the first there may be any number, and they must not use up what
	// the second need.
	strangersPerSecond, strangersAtOnce = 1, 10
	knownPerSecond, knownAtOnce         = 2, 20
	// reviewWithin bounds how long the API server may take for a decision.
	reviewWithin = 5 * time.Second
)

// Decision is what the API server returns about a token.
type Decision string

// The decisions, and why there is none. They are the values of the label result of the metrics.
const (
	Admitted        Decision = "admitted"
	Unauthenticated Decision = "unauthenticated" // no token, or not a valid one
	Forbidden       Decision = "forbidden"       // a valid token of a user that may not read the path
	Limited         Decision = "limited"         // too many tokens to review
	Failed          Decision = "failed"          // the API server did not answer
)

// Reviewer asks the API server who a token belongs to, and whether that user may get a path.
// It returns Admitted, Unauthenticated or Forbidden, or why it could not find out.
type Reviewer interface {
	Review(ctx context.Context, token, path string) (Decision, error)
}

// Gate decides about requests, and stores what it has decided. Make it with New. It is safe for
// concurrent use.
type Gate struct {
	reviewer Reviewer
	metrics  *Metrics
	log      logr.Logger

	mu                sync.Mutex
	admitted, refused recent[[sha256.Size]byte, Decision]
	known             recent[string, struct{}] // addresses
	strangers, guests *rate.Limiter
}

// New returns a gate in front of which nobody has asked yet.
func New(reviewer Reviewer, metrics *Metrics, log logr.Logger) *Gate {
	return &Gate{
		reviewer: reviewer, metrics: metrics, log: log,
		admitted: newRecent[[sha256.Size]byte, Decision](mostAdmitted, admittedFor),
		refused:  newRecent[[sha256.Size]byte, Decision](mostRefused, refusedFor),
		known:    newRecent[string, struct{}](mostKnown, knownFor),

		strangers: rate.NewLimiter(strangersPerSecond, strangersAtOnce),
		guests:    rate.NewLimiter(knownPerSecond, knownAtOnce),
	}
}

// Handler serves what inner does at a path, to those that may get this path.
func (g *Gate) Handler(path string, inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		decision := g.decide(r.Context(), from, bearer(r), path)
		g.metrics.requests.WithLabelValues(string(decision)).Inc()
		switch decision {
		case Admitted:
			inner.ServeHTTP(w, r)
		case Unauthenticated:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a bearer token of this cluster is needed", http.StatusUnauthorized)
		case Forbidden:
			http.Error(w, "the user of this token may not get "+path+": bind it to the ClusterRole lbstack-metrics-reader", http.StatusForbidden)
		case Limited:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many tokens to review: try again", http.StatusServiceUnavailable)
		default:
			http.Error(w, "the API server could not be asked about this token", http.StatusServiceUnavailable)
		}
	})
}

// bearer returns the token of a request, empty if it has none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// decide returns the stored decision about a token, or has the API server decide.
func (g *Gate) decide(ctx context.Context, from, token, path string) Decision {
	if token == "" {
		return Unauthenticated
	}
	key := sha256.Sum256([]byte(token))
	if decision, stored := g.stored(key, from); stored {
		return decision
	}
	ctx, cancel := context.WithTimeout(ctx, reviewWithin)
	defer cancel()
	g.metrics.reviews.Inc()
	decision, err := g.reviewer.Review(ctx, token, path)
	if err != nil {
		g.log.V(1).Info("reviewing a token", "from", from, "problem", err.Error())
		return Failed
	}
	g.store(key, from, decision)
	return decision
}

// stored returns the decision about a token, Limited if there is none and the token may not be
// reviewed now, or false if it may.
func (g *Gate) stored(key [sha256.Size]byte, from string) (Decision, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, list := range []recent[[sha256.Size]byte, Decision]{g.admitted, g.refused} {
		if decision, ok := list.get(key, now); ok {
			return decision, true
		}
	}
	limit := g.strangers
	if _, known := g.known.get(from, now); known {
		limit = g.guests
	}
	if !limit.AllowN(now, 1) {
		return Limited, true
	}
	return "", false
}

func (g *Gate) store(key [sha256.Size]byte, from string, decision Decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if decision == Admitted {
		g.admitted.put(key, decision, now)
		g.known.put(from, struct{}{}, now)
		return
	}
	g.refused.put(key, decision, now)
}
