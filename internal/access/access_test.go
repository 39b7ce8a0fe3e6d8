package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// reviewer decides by the text of a token, as an API server would. The API server is up unless away is set
// otherwise.
type reviewer struct {
	reviews int
	away    bool
	hangs   bool
}

func (r *reviewer) Review(ctx context.Context, token, path string) (Decision, error) {
	r.reviews++
	switch {
	case r.hangs:
		<-ctx.Done()
		return "", ctx.Err()
	case r.away:
		return "", errors.New("connection refused")
	case path != "/metrics":
		return "", fmt.Errorf("asked about %s", path)
	case strings.HasPrefix(token, "reader"):
		return Admitted, nil
	case strings.HasPrefix(token, "pod"):
		return Forbidden, nil
	}
	return Unauthenticated, nil
}

// bed is a gate in front of a page.
type bed struct {
	*testing.T
	reviewer reviewer
	registry *prometheus.Registry
	handler  http.Handler
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, registry: prometheus.NewRegistry()}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) })
	b.handler = New(&b.reviewer, NewMetrics(b.registry), logr.Discard()).Handler("/metrics", page)
	return b
}

// ask sends a request, and returns its status. Only one that is admitted gets the page.
func (b *bed) ask(from, authorization string) int {
	b.Helper()
	request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
	request.RemoteAddr = from + ":1234"
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	answer := httptest.NewRecorder()
	b.handler.ServeHTTP(answer, request)
	if page := answer.Body.String() == "page"; page != (answer.Code == http.StatusOK) {
		b.Errorf("%s with %q: got status %d and %q", from, authorization, answer.Code, answer.Body)
	}
	return answer.Code
}

// counted returns the counters that are not zero: of requests by result, and of reviews.
func (b *bed) counted() map[string]float64 {
	b.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			name := "reviews"
			if labels := sample.GetLabel(); len(labels) > 0 {
				name = labels[0].GetValue()
			}
			if n := sample.GetCounter().GetValue(); n > 0 {
				counted[name] = n
			}
		}
	}
	return counted
}

func TestHandler(t *testing.T) {
	for _, tt := range []struct {
		name, authorization string
		away                bool
		want, reviews       int
		result              Decision
	}{
		{name: "no token is not reviewed", want: 401, result: Unauthenticated},
		{name: "another scheme is not reviewed", authorization: "Basic cmVhZGVyOg==", want: 401, result: Unauthenticated},
		{name: "empty token is not reviewed", authorization: "Bearer ", want: 401, result: Unauthenticated},
		{name: "token of nobody", authorization: "Bearer x", want: 401, reviews: 1, result: Unauthenticated},
		{name: "token of a user without the right", authorization: "Bearer pod-1", want: 403, reviews: 1, result: Forbidden},
		{name: "token of a reader", authorization: "Bearer reader-1", want: 200, reviews: 1, result: Admitted},
		{name: "scheme in lower case", authorization: "bearer reader-1", want: 200, reviews: 1, result: Admitted},
		{name: "API server is away", authorization: "Bearer reader-1", away: true, want: 503, reviews: 1, result: Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.reviewer.away = tt.away
			if got := b.ask("192.0.2.1", tt.authorization); got != tt.want || b.reviewer.reviews != tt.reviews {
				t.Errorf("got status %d after %d reviews, want %d after %d", got, b.reviewer.reviews, tt.want, tt.reviews)
			}
			want := map[string]float64{string(tt.result): 1}
			if tt.reviews > 0 {
				want["reviews"] = float64(tt.reviews)
			}
			if diff := cmp.Diff(want, b.counted()); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHandler_DecisionsAreUsedAgain(t *testing.T) {
	for _, tt := range []struct {
		token string
		want  int
		lasts time.Duration
	}{
		{"reader", 200, admittedLifetime}, {"pod", 403, refusedLifetime}, {"x", 401, refusedLifetime},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			for _, step := range []struct {
				after   time.Duration
				reviews int
			}{{0, 1}, {0, 1}, {tt.lasts - 1, 1}, {1, 2}} {
				time.Sleep(step.after)
				if got := b.ask("192.0.2.1", "Bearer "+tt.token); got != tt.want || b.reviewer.reviews != step.reviews {
					t.Errorf("%s, %s later: got %d after %d reviews, want %d after %d", tt.token, step.after, got, b.reviewer.reviews, tt.want, step.reviews)
				}
			}
		})
	}
}

// A minute of 200 requests a second with another token each, from as many addresses: the
// API server is asked once a second, and a client that had access before has it all the time,
// also when its token is replaced.
func TestHandler_FloodOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		if got := b.ask("192.0.2.1", "Bearer reader-0"); got != 200 {
			t.Fatalf("before the flood: got %d, want 200", got)
		}
		b.reviewer.reviews = 0
		for second := range 120 {
			for i := range 200 {
				if got := b.ask(fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("Bearer x-%d-%d", second, i)); got != 401 && got != 503 {
					t.Fatalf("got %d, want 401 or 503", got)
				}
			}
			if second%5 == 0 {
				if got := b.ask("192.0.2.1", fmt.Sprintf("Bearer reader-%d", second/50)); got != 200 {
					t.Errorf("after %d s of the flood: got %d, want 200", second, got)
				}
			}
			time.Sleep(time.Second)
		}
		if most := 120*strangersPerSecond + strangersBurst + 3; b.reviewer.reviews > most {
			t.Errorf("the flood made %d reviews, want at most %d", b.reviewer.reviews, most)
		}
	})
}

// What is stored is bounded: the entry that expires first makes room.
func TestRecent(t *testing.T) {
	r := newExpiringMap[int, string](3, time.Minute)
	now := time.Time{}.Add(time.Hour)
	for i := range 10 {
		r.put(i, "x", now.Add(time.Duration(i)*time.Second))
	}
	r.put(9, "y", now.Add(9*time.Second))
	if len(r.entries) != 3 {
		t.Errorf("got %d entries, want 3", len(r.entries))
	}
	for i := range 10 {
		if _, got := r.get(i, now.Add(10*time.Second)); got != (i >= 7) {
			t.Errorf("entry %d is there: got %v, want %v", i, got, i >= 7)
		}
	}
	if got, ok := r.get(9, now.Add(69*time.Second)); ok {
		t.Errorf("got %q after its time, want nothing", got)
	}
}

func TestHandler_APIServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.reviewer.hangs = true
		began := time.Now()
		if got, after := b.ask("192.0.2.1", "Bearer reader"), time.Since(began); got != 503 || after != reviewTimeout {
			t.Errorf("got %d after %s, want 503 after %s", got, after, reviewTimeout)
		}
	})
}
