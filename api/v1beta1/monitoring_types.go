package v1beta1

// Monitoring decides whether lbstack asks the Prometheus operator to collect its
// metrics.
//
// +kubebuilder:validation:Enum=Auto;Disabled
type Monitoring string

// The values of Monitoring.
const (
	// MonitoringAuto creates a ServiceMonitor if the API server has the kind.
	MonitoringAuto Monitoring = "Auto"
	// MonitoringDisabled creates no ServiceMonitor, and deletes an existing one.
	MonitoringDisabled Monitoring = "Disabled"
)
