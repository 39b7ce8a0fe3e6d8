package config

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestInterfacesChanged(t *testing.T) {
	state := func(edit func(*v1beta1.SpeakerStateStatus)) *v1beta1.SpeakerState {
		s := &v1beta1.SpeakerState{Status: v1beta1.SpeakerStateStatus{Phase: v1beta1.SpeakerActive, Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", HardwareAddress: "02:00:00:00:00:01"}}}}
		edit(&s.Status)
		return s
	}
	for name, tt := range map[string]struct {
		edit func(*v1beta1.SpeakerStateStatus)
		want bool
	}{
		"it owns another address":         {func(s *v1beta1.SpeakerStateStatus) { s.AddressCount++ }, false},
		"an interface has a new MAC":      {func(s *v1beta1.SpeakerStateStatus) { s.Interfaces[0].HardwareAddress = "02:00:00:00:00:02" }, false},
		"it drains":                       {func(s *v1beta1.SpeakerStateStatus) { s.Phase = v1beta1.SpeakerDraining }, false},
		"it has lost an interface":        {func(s *v1beta1.SpeakerStateStatus) { s.Interfaces = nil }, true},
		"an interface has another subnet": {func(s *v1beta1.SpeakerStateStatus) { s.Interfaces[0].Subnets = []string{"10.0.0.0/8"} }, true},
		"it stops":                        {func(s *v1beta1.SpeakerStateStatus) { s.Phase = v1beta1.SpeakerStopped }, true},
	} {
		e := event.UpdateEvent{ObjectOld: state(func(*v1beta1.SpeakerStateStatus) {}), ObjectNew: state(tt.edit)}
		if got := interfacesChanged.Update(e); got != tt.want {
			t.Errorf("%s: looked at: got %v, want %v", name, got, tt.want)
		}
	}
}
