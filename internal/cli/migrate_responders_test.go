package cli

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMigrate_RestartsSpeakersThatAreLate: a rollback restarts each speaker of MetalLB that announced before it had an NDP responder.
// That of the first node is restarted while lbstack still announces from this node.
func TestMigrate_RestartsSpeakersThatAreLate(t *testing.T) {
	for _, tt := range []struct {
		name, stack string
		ipv4        bool // no Service shows an IPv6 address
		late        map[string]int
		ended       []string
	}{
		{"none is late", switchedStack, false, nil, nil},
		{"the first one", switchedStack, false, map[string]int{"node-1": 1}, []string{`speaker-node-1 while lbstack announces from "node-1"`}},
		{"the first one, twice", switchedStack, false, map[string]int{"node-1": 2}, []string{`speaker-node-1 while lbstack announces from "node-1"`, `speaker-node-1 while lbstack announces from "node-1"`}},
		{"two others", switchedStack, false, map[string]int{"node-2": 1, "node-3": 1}, []string{`speaker-node-2 while lbstack announces from ""`, `speaker-node-3 while lbstack announces from ""`}},
		{"the last one, with routes", routedStack, false, map[string]int{"node-1": 1}, []string{`speaker-node-1 while lbstack announces from ""`}},
		{"without IPv6", switchedStack, true, map[string]int{"node-1": 1, "node-2": 1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := stackFile(t, tt.stack)
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				before := s.workloads()
				s.begin()
				s.runs("migrate -f " + file)
				time.Sleep(1500 * time.Millisecond) // lbstack announces from node-1 when no claim requests a node
				if !tt.ipv4 {
					s.showIPv6()
				}
				s.change(func() {
					s.ended = nil
					maps.Copy(s.late, tt.late)
				})
				s.runs("migrate --rollback", "MetalLB announces the addresses, as before")
				if diff := cmp.Diff(tt.ended, s.ended); diff != "" {
					t.Errorf("pods that were restarted (-want +got):\n%s", diff)
				}
				s.unchanged(before)
				s.apart()
			})
		})
	}
}

// TestMigrate_WarnsAboutSpeakers that are late after each restart, or whose log does not show whether they are, and goes on.
func TestMigrate_WarnsAboutSpeakers(t *testing.T) {
	file := stackFile(t, switchedStack)
	for _, tt := range []struct {
		name   string
		change func(*switching)
		ended  int
		warn   string
	}{
		{"late after each restart", func(s *switching) { s.late["node-1"] = 1000 }, maxRestarts, "  Pod speaker-node-1 of MetalLB on node node-1 announced addresses before it received neighbour solicitations, also after 3 restarts: if no host reaches its IPv6 addresses, restart the pod: kubectl delete pod -n metallb-system speaker-node-1\n"},
		{"perhaps late", func(s *switching) { s.silent = true }, 0, "  the log of Pod speaker-node-2 of MetalLB on node node-2 does not show whether the pod receives neighbour solicitations: if no host reaches its IPv6 addresses, restart the pod: kubectl delete pod -n metallb-system speaker-node-2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := switchingBed(t)
				s.begin()
				s.runs("migrate -f " + file)
				time.Sleep(1500 * time.Millisecond)
				s.showIPv6()
				s.change(func() {
					s.ended = nil
					tt.change(s)
				})
				_, errOut, err := execute(t.Context(), s.cluster, "migrate --rollback --timeout 1m")
				if err != nil || strings.Count(errOut, tt.warn) != 1 || len(s.ended) != tt.ended {
					t.Errorf("got the error %v, %d restarts (want %d), and\n%s\nwhich should have once\n%s", err, len(s.ended), tt.ended, errOut, tt.warn)
				}
			})
		})
	}
}
