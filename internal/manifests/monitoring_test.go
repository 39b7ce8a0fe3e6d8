package manifests

import (
	"testing"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestRender_ServiceMonitor(t *testing.T) {
	tests := []struct {
		name       string
		monitoring v1beta1.Monitoring
		available  bool
		want       int
	}{
		{name: "unset, kind is there: made", available: true, want: 1},
		{name: "Auto, kind is there: made", monitoring: v1beta1.MonitoringAuto, available: true, want: 1},
		{name: "Auto, no such kind: none", monitoring: v1beta1.MonitoringAuto},
		{name: "Disabled: none", monitoring: v1beta1.MonitoringDisabled, available: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := defaultOptions()
			o.Spec.Monitoring, o.ServiceMonitors = tt.monitoring, tt.available
			got := 0
			for _, object := range render(t, o) {
				if object.GroupVersionKind() == ServiceMonitor().GroupVersionKind {
					got++
				}
			}
			if got != tt.want {
				t.Errorf("got %d ServiceMonitors, want %d", got, tt.want)
			}
		})
	}
}
