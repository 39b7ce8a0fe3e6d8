package bgp

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
)

func TestRetryDiscovery_BacksOff(t *testing.T) {
	tests := []struct {
		name        string
		usable      time.Duration // each time
		least, most int           // attempts in 5 minutes
	}{
		{"interface that cannot be used is tried less and less often", 0, 30, 44},
		{"interface that was usable for long is tried soon again", 29 * time.Second, 10, 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				attempts := 0
				retryDiscovery(ctx, logr.Discard(), func() error {
					attempts++
					time.Sleep(tt.usable)
					return errors.New("no such device")
				})
				if attempts < tt.least || attempts > tt.most {
					t.Errorf("got %d attempts in 5 minutes, want %d to %d", attempts, tt.least, tt.most)
				}
			})
		})
	}
}

func TestChoice_Follow(t *testing.T) {
	type advertisement struct {
		at          float64 // seconds
		from        string
		established bool
		want        bool
	}
	tests := []struct {
		name string
		list []advertisement
	}{
		{"the first router is the one", []advertisement{{0, "fe80::1", false, true}, {1, "fe80::2", false, false}, {10, "fe80::1", false, true}}},
		{"one without a session gives way after a while, and they take turns", []advertisement{
			{0, "fe80::1", false, true}, {10, "fe80::1", false, true}, {19, "fe80::2", false, false}, {20, "fe80::2", false, true},
			{21, "fe80::1", false, false}, {41, "fe80::1", false, true}, {42, "fe80::2", false, false}}},
		{"one with a session stays, though others send and it does not", []advertisement{
			{0, "fe80::1", false, true}, {30, "fe80::2", true, false}, {300, "fe80::2", true, false}}},
		{"one whose session ends is tried first", []advertisement{
			{0, "fe80::1", false, true}, {100, "fe80::1", true, true}, {101, "fe80::2", false, false}, {119, "fe80::2", false, false}, {121, "fe80::2", false, true}}},
		{"one that is silent gives way", []advertisement{{0, "fe80::1", false, true}, {33, "fe80::2", false, true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
			var c routerChoice
			for i, a := range tt.list {
				at := begin.Add(time.Duration(a.at * float64(time.Second)))
				if got := c.handleAdvertisement(at, netip.MustParseAddr(a.from), a.established); got != a.want {
					t.Errorf("advertisement %d, of %s after %g s: the router is the one: %t, want %t", i, a.from, a.at, got, a.want)
				}
			}
		})
	}
}

func TestReceive_Pace(t *testing.T) {
	router, failed := netip.MustParseAddr("fe80::1"), errors.New("closed")
	synctest.Test(t, func(t *testing.T) {
		began, reads, followed := time.Now(), 0, 0
		pace := rate.NewLimiter(maxReadsPerSecond, maxReadsPerSecond)
		flood := func() (netip.Addr, error) {
			if reads++; time.Since(began) >= 10*time.Second {
				return netip.Addr{}, failed
			}
			if reads%2 == 0 {
				return netip.Addr{}, nil // no advertisement
			}
			return router, nil
		}
		if err := receiveAdvertisements(t.Context(), pace, flood, func(netip.Addr) { followed++ }); !errors.Is(err, failed) {
			t.Errorf("error: got %v, want that of reading", err)
		}
		if reads < 10*maxReadsPerSecond || reads > 11*maxReadsPerSecond+1 || followed != reads/2 {
			t.Errorf("within 10s of a flood: got %d messages read and %d followed, want 10 to 11 times %d read and half of them followed", reads, followed, maxReadsPerSecond)
		}
		began = time.Now()
		if err := receiveAdvertisements(t.Context(), pace, func() (netip.Addr, error) { return netip.Addr{}, failed }, nil); !errors.Is(err, failed) || time.Since(began) > time.Second {
			t.Errorf("first message after a flood: got %v after %v, want it read within a second", err, time.Since(began))
		}
	})
}
