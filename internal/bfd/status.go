package bfd

import "time"

// Status is how a session is.
type Status struct {
	// State is this side's; Remote is what the other side reported last.
	State, Remote State
	// Diagnostic is why this side went down last, none while it is Up;
	// RemoteDiagnostic is what the other side reports.
	Diagnostic, RemoteDiagnostic Diagnostic
	// Failed: the session was Up and went down, and no administrator of either side
	// did that. Only this is a failure of the path (RFC 5882 section 4.2); it stays
	// until the session is Up again, or a side is AdminDown.
	Failed bool
	// Transmit is how often this side sends, before jitter; 0 if it may not. Receive
	// is how often the other side is to send, and Detection how long it may be
	// silent; both are 0 while nothing is received from it.
	Transmit, Receive, Detection time.Duration
	// Since is when State changed last.
	Since time.Time
	// Transitions is how often State changed; Flaps is how often it left Up and no
	// administrator of either side did that.
	Transitions, Flaps uint64
	// In and Out are the packets of the session.
	In, Out uint64
	// Stalls is how often the other side was given more time because this side had
	// not run.
	Stalls uint64
}

// RemoteAdminDown reports whether the administrator of the other side took the session
// down: nothing is known about the path then.
func (s Status) RemoteAdminDown() bool { return s.State == Down && s.Remote == AdminDown }

// WithDefaults fills in what a profile leaves out.
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
