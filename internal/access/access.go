// Package access serves the metrics of a program only to users that may read them. The API server decides: a
// TokenReview returns the user of a bearer token, and a SubjectAccessReview returns whether this user may get
// the path. The number of requests to the API server is limited, whatever clients without access send.
// Package internal/manager uses this package in all three programs.
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
	// admittedLifetime is how long the decision to admit a token is used.
	admittedLifetime = time.Minute
	// refusedLifetime is how long the decision to refuse a token is used.
	refusedLifetime = 10 * time.Second
	// maxAdmittedTokens is how many decisions to admit a token are stored.
	maxAdmittedTokens = 64
	// maxRefusedTokens is how many decisions to refuse a token are stored.
	maxRefusedTokens = 256
	// knownLifetime is how long an address counts as known after a client with that address had access.
	knownLifetime = time.Hour
	// maxKnownAddresses is how many known addresses are stored.
	maxKnownAddresses = 64
	// The rate and the burst of token reviews. Strangers are clients whose address is not known. Their
	// number is unlimited, so they have a rate of their own, and do not use up the rate of known
	// addresses.
	strangersPerSecond, strangersBurst = 1, 10
	knownPerSecond, knownBurst         = 2, 20
	// reviewTimeout is how long the API server may take for a decision.
	reviewTimeout = 5 * time.Second
)

// Decision is the result of a request for metrics.
type Decision string

// The API server makes the first three decisions. The other two are made without its answer. All of them are
// values of the label result in the metrics.
const (
	Admitted        Decision = "admitted"
	Unauthenticated Decision = "unauthenticated" // the token is missing or invalid
	Forbidden       Decision = "forbidden"       // the token is valid, but its user may not read the path
	Limited         Decision = "limited"         // the token was not reviewed, since the rate of reviews is limited
	Failed          Decision = "failed"          // the API server did not answer
)

// Reviewer asks the API server to which user a token belongs, and whether that user may get a path. It returns
// Admitted, Unauthenticated or Forbidden. If it gets no answer, it returns an error.
type Reviewer interface {
	Review(ctx context.Context, token, path string) (Decision, error)
}

// Gate decides which requests are served. It stores decisions by token and not by path, so that a Gate must
// serve only one path. Make it with New. It is safe for concurrent use.
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
		admitted: newExpiringMap[[sha256.Size]byte, Decision](maxAdmittedTokens, admittedLifetime),
		refused:  newExpiringMap[[sha256.Size]byte, Decision](maxRefusedTokens, refusedLifetime),
		known:    newExpiringMap[string, struct{}](maxKnownAddresses, knownLifetime),

		strangerRate: rate.NewLimiter(strangersPerSecond, strangersBurst),
		knownRate:    rate.NewLimiter(knownPerSecond, knownBurst),
	}
}

// Handler returns a handler that calls inner for clients that may get the path, and refuses all other clients.
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
			http.Error(w, "the request needs a bearer token of this cluster", http.StatusUnauthorized)
		case Forbidden:
			http.Error(w, "the user of this token may not get "+path+": bind the user to the ClusterRole lbstack-metrics-reader", http.StatusForbidden)
		case Limited:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the number of token reviews per second is limited: try again later", http.StatusServiceUnavailable)
		default:
			http.Error(w, "the API server did not answer whether this token is valid: try again", http.StatusServiceUnavailable)
		}
	})
}

// bearerToken returns the token of a request; empty: the request has none.
func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// decide returns the stored decision about a token. Without a stored decision it asks the API server.
func (g *Gate) decide(ctx context.Context, from, token, path string) Decision {
	if token == "" {
		return Unauthenticated
	}
	key := sha256.Sum256([]byte(token))
	if decision, stored := g.decideLocally(key, from); stored {
		return decision
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	g.metrics.reviews.Inc()
	decision, err := g.reviewer.Review(ctx, token, path)
	if err != nil {
		g.log.V(1).Info("a client's token could not be reviewed", "from", from, "problem", err.Error())
		return Failed
	}
	g.store(key, from, decision)
	return decision
}

// decideLocally returns the stored decision about a token; false: the API server must review the token.
// If no decision is stored and the rate permits no review now, it returns Limited.
func (g *Gate) decideLocally(key [sha256.Size]byte, from string) (Decision, bool) {
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
