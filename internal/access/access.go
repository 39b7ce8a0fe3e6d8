// Package access restricts the metrics of a program to users that may read them. The API server
// decides: a TokenReview returns the user of a bearer token, and a SubjectAccessReview whether this
// user may get the path. The requests to the API server are bounded, whatever clients without access
// send, and however many they are. All three programs use the package, through package manager.
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
	// admittedLifetime and refusedLifetime are how long a stored decision about a token is used.
	admittedLifetime, refusedLifetime = time.Minute, 10 * time.Second
	// maxAdmitted and maxRefused are how many decisions are stored.
	maxAdmitted, maxRefused = 64, 256
	// An address from which a client had access is known for knownLifetime; maxKnown addresses are known at
	// most.
	knownLifetime, maxKnown = time.Hour, 64
	// The rate and the burst of token reviews, for strangers and for known addresses. Strangers can be
	// any number of clients, and must not use up the rate of known addresses.
	strangersPerSecond, strangersAtOnce = 1, 10
	knownPerSecond, knownAtOnce         = 2, 20
	// reviewTimeout bounds how long the API server may take for a decision.
	reviewTimeout = 5 * time.Second
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

// Reviewer queries the API server: which user a token belongs to, and whether that user may get a path.
// It returns Admitted, Unauthenticated or Forbidden, or an error if it has no answer.
type Reviewer interface {
	Review(ctx context.Context, token, path string) (Decision, error)
}

// Gate decides which requests are served, and stores the decisions by token alone: one Gate must serve
// only one path. Make it with New. It is safe for concurrent use.
type Gate struct {
	reviewer Reviewer
	metrics  *Metrics
	log      logr.Logger

	mu                      sync.Mutex
	admitted, refused       expiringMap[[sha256.Size]byte, Decision]
	known                   expiringMap[string, struct{}] // addresses
	strangerRate, knownRate *rate.Limiter
}

// New returns a gate without stored decisions.
func New(reviewer Reviewer, metrics *Metrics, log logr.Logger) *Gate {
	return &Gate{
		reviewer: reviewer, metrics: metrics, log: log,
		admitted: newExpiringMap[[sha256.Size]byte, Decision](maxAdmitted, admittedLifetime),
		refused:  newExpiringMap[[sha256.Size]byte, Decision](maxRefused, refusedLifetime),
		known:    newExpiringMap[string, struct{}](maxKnown, knownLifetime),

		strangerRate: rate.NewLimiter(strangersPerSecond, strangersAtOnce),
		knownRate:    rate.NewLimiter(knownPerSecond, knownAtOnce),
	}
}

// Handler returns a handler that calls inner for clients that may get the path, and refuses others.
func (g *Gate) Handler(path string, inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		decision := g.decide(r.Context(), from, bearerToken(r), path)
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

// bearerToken returns the token of a request, empty if it has none.
func bearerToken(r *http.Request) string {
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
	if decision, stored := g.storedDecision(key, from); stored {
		return decision
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
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

// storedDecision returns the stored decision about a token, or Limited if there is none and the rate allows no
// review now. It returns false if the token is to be reviewed.
func (g *Gate) storedDecision(key [sha256.Size]byte, from string) (Decision, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, list := range []expiringMap[[sha256.Size]byte, Decision]{g.admitted, g.refused} {
		if decision, ok := list.get(key, now); ok {
			return decision, true
		}
	}
	limit := g.strangerRate
	if _, known := g.known.get(from, now); known {
		limit = g.knownRate
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
