package externalips

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// A tenant edits externalIPs each second for an hour.
func TestPace(t *testing.T) {
	var p writePacer
	victim, at, writes := lb.ServiceKey{Namespace: "shop", Name: "web"}, time.Unix(10000, 0), 0
	for range 3600 {
		if p.wait(victim, at) == 0 {
			p.note(victim, at)
			writes++
		}
		at = at.Add(time.Second)
	}
	if want := int(time.Hour/writeWindow) * writeBurst; writes != want {
		t.Errorf("writes in an hour: got %d, want %d", writes, want)
	}
	if wait := p.wait(victim, at.Add(-time.Second)); wait <= 0 || wait > writeWindow {
		t.Errorf("wait: got %s, want some of %s", wait, writeWindow)
	}
	if wait := p.wait(lb.ServiceKey{Namespace: "shop", Name: "other"}, at); wait != 0 {
		t.Errorf("another Service waits %s, want 0", wait)
	}
	at = at.Add(2 * writeWindow)
	p.note(lb.ServiceKey{Namespace: "shop", Name: "other"}, at)
	if len(p.writes) != 1 {
		t.Errorf("got %d Services that are remembered, want 1", len(p.writes))
	}
}

func TestByOthers(t *testing.T) {
	of := func(reason string) *metav1.Condition { return &metav1.Condition{Reason: reason} }
	for name, tt := range map[string]struct {
		was, now *metav1.Condition
		want     bool
	}{
		"another Service begins to list its address": {nil, of(v1beta1.ReasonAddressInExternalIPs), true},
		"one more does":                      {of(v1beta1.ReasonAddressInExternalIPs), of(v1beta1.ReasonAddressInExternalIPs), true},
		"none does any more":                 {of(v1beta1.ReasonAddressInExternalIPs), nil, true},
		"it lists an address":                {nil, of(v1beta1.ReasonAddressOfPool), false},
		"it lists none any more":             {of(v1beta1.ReasonAddressOfPool), nil, false},
		"it lists none, but others list its": {of(v1beta1.ReasonAddressOfPool), of(v1beta1.ReasonAddressInExternalIPs), false},
		"it lists more than are read":        {nil, of(v1beta1.ReasonTooManyExternalIPs), false},
		"it lists some, and others list its": {of(v1beta1.ReasonAddressInExternalIPs), of(v1beta1.ReasonAddressOfPool), false},
	} {
		if got := isCausedByOthers(tt.was, tt.now); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
