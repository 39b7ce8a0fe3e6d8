package v1beta1

// Monitoring decides whether the Prometheus operator is to read the metrics of lbstack.
//
// +kubebuilder:validation:Enum=Auto;Disabled
type Monitoring string

// The values of Monitoring.
const (
	// MonitoringAuto makes a ServiceMonitor where the API server has the kind.
	MonitoringAuto Monitoring = "Auto"
	// MonitoringDisabled makes none, and deletes the one that was made.
	MonitoringDisabled Monitoring = "Disabled"
)
