package bfd

import "time"

// Status describes a session at one point in time.
type Status struct {
	// State is the state of this side. Remote is the state that the other side reported last.
	State, Remote State
	// Diagnostic is the reason why this side went down last; NoDiagnostic while this side is Up.
	// RemoteDiagnostic is the diagnostic that the other side reported last.
	Diagnostic, RemoteDiagnostic Diagnostic
	// Failed: the session was Up and went down, and no administrator of either side took it down. Only
	// this is a failure of the path (RFC 5882 section 4.2). Failed stays true until the session is Up
	// again, or a side is AdminDown.
	Failed bool
	// Transmit is the interval at which this side sends, before jitter; 0: this side does not send.
	// Receive is the interval at which the other side should send; 0: no packets arrive from it.
	// Detection is how long packets of the other side may be missing before the session goes down; 0: no
	// packets arrive.
	Transmit, Receive, Detection time.Duration
	// Since is when State changed last.
	Since time.Time
	// Transitions counts changes of State. Flaps counts how often State left Up although no administrator
	// of either side took the session down.
	Transitions, Flaps uint64
	// In and Out count the received and the sent packets of the session.
	In, Out uint64
	// Stalls counts how often the other side got more time because this side had not run.
	Stalls uint64
}

// IsRemoteAdminDown reports whether the administrator of the other side took the session down. It is then
// unknown whether the path is up.
func (s Status) IsRemoteAdminDown() bool { return s.State == Down && s.Remote == AdminDown }

// WithDefaults returns the profile with defaults in place of zero fields.
func (p Profile) WithDefaults() Profile {
	if p.Receive <= 0 {
		p.Receive = DefaultInterval
	}
	if p.Transmit <= 0 {
		p.Transmit = DefaultInterval
	}
	if p.Multiplier == 0 {
		p.Multiplier = DefaultMultiplier
	}
	if p.MinimumTTL == 0 {
		p.MinimumTTL = DefaultMinimumTTL
	}
	return p
}

// String returns the name of the diagnostic.
func (d Diagnostic) String() string {
	names := [...]string{
		"none", "the detection time expired", "echo failed", "the neighbour signalled down", "the forwarding plane was reset",
		"the path is down", "a concatenated path is down", "administratively down", "a reverse concatenated path is down",
	}
	if int(d) < len(names) {
		return names[d]
	}
	return "unknown"
}
