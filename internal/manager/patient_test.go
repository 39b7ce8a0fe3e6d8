package manager

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
)

func TestRequestsWaitForTheAPIServer(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	tests := []struct {
		name  string
		fails error
		away  time.Duration
		wait  time.Duration // of the request
		want  time.Duration // until it returns
		err   error
	}{
		{name: "the API server is there", wait: time.Hour},
		{name: "it is away for a minute", fails: refused, away: time.Minute, wait: time.Hour, want: time.Minute},
		{name: "the request ends before", fails: refused, away: time.Minute, wait: 10 * time.Second, want: 10 * time.Second, err: refused},
		{name: "a connection breaks, and the API server may have got the request", fails: reset, away: time.Minute, wait: time.Hour, err: reset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var bodies []string
				way := redialer{log: logr.Discard(), away: &atomic.Bool{}, next: answering(func(r *http.Request) (*http.Response, error) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					bodies = append(bodies, string(body))
					if time.Since(begun) < tt.away {
						return nil, tt.fails
					}
					return &http.Response{StatusCode: http.StatusOK}, nil
				})}
				ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
				defer cancel()
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api/x", strings.NewReader("whole"))
				if err != nil {
					t.Fatal(err)
				}
				_, err = way.RoundTrip(request)
				if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				if took := time.Since(begun); took < tt.want || took > tt.want+redialInterval {
					t.Errorf("returned after %s, want %s", took, tt.want)
				}
				for _, body := range bodies {
					if body != "whole" {
						t.Errorf("sent %q, want the whole body with each attempt", body)
					}
				}
			})
		})
	}
}
