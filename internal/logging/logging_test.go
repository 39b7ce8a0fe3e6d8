package logging

import "testing"

func TestNew(t *testing.T) {
	tests := []struct {
		name, level       string
		info, debug, fail bool
	}{
		{name: "info logs info and hides debug", level: "Info", info: true},
		{name: "debug logs both", level: "debug", info: true, debug: true},
		{name: "error hides both", level: "ERROR"},
		{name: "a level that does not exist is refused", level: "loud", fail: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, err := New(tt.level)
			if (err != nil) != tt.fail {
				t.Fatalf("New(%q): error %v, want one: %v", tt.level, err, tt.fail)
			}
			if got := log.Enabled(); got != tt.info {
				t.Errorf("info enabled: got %v, want %v", got, tt.info)
			}
			if got := log.V(1).Enabled(); got != tt.debug {
				t.Errorf("debug enabled: got %v, want %v", got, tt.debug)
			}
		})
	}
}
