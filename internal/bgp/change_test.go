package bgp

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
)

// followed are the fields that a session follows while it is up.
var followed = []string{"Name", "ConnectRetry", "ShutdownWait", "BFD", "BFDProfile", "StrictBFD", "Revoked"}

// other returns another value than the empty one.
func other(t *testing.T, field reflect.StructField) any {
	switch field.Type {
	case reflect.TypeFor[netip.Addr]():
		return netip.MustParseAddr("192.0.2.9")
	case reflect.TypeFor[RemoteASN]():
		return RemoteASN{Kind: ExternalPeer}
	case reflect.TypeFor[time.Duration]():
		return time.Minute
	case reflect.TypeFor[*bfd.Profile]():
		return &bfd.Profile{}
	}
	switch field.Type.Kind() {
	case reflect.Bool:
		return true
	case reflect.String:
		return reflect.ValueOf("x").Convert(field.Type).Interface()
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return reflect.ValueOf(7).Convert(field.Type).Interface()
	}
	t.Fatalf("add another value of %s to this test", field.Name)
	return nil
}

func TestEveryFieldThatChangesIsFollowedOrBeginsTheSessionAnew(t *testing.T) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Peer]()) {
		var changed Peer
		reflect.ValueOf(&changed).Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(other(t, field)))
		names := ResettingFields(Peer{}, changed)
		if want := !slices.Contains(followed, field.Name); want != (len(names) == 1) {
			t.Errorf("%s: the session is begun anew for %v, want that: %t", field.Name, names, want)
		}
	}
}

func TestAnotherPasswordIsFollowed(t *testing.T) {
	if names := ResettingFields(Peer{Password: "old"}, Peer{Password: "new"}); names != nil {
		t.Errorf("the session is begun anew for %v", names)
	}
}
