// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4711 100 200\n"
	tests := []struct {
		name, stat string
		ended      bool
		start      uint64
		fails      bool
	}{
		{name: "a plain name", stat: "12 (sleep)" + rest, start: 4711},
		{name: "a name with blanks and parentheses", stat: "12 (a) Z (b c)" + rest, start: 4711},
		{name: "a zombie", stat: "12 (sleep) Z 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4711 100 200\n", ended: true, start: 4711},
		{name: "one that executes another program just now", stat: "12 (exe) Z 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 5 0 4711 100 200\n", start: 4711},
		{name: "no name", stat: "12 sleep", fails: true},
		{name: "too few fields", stat: "12 (sleep) S 1 2", fails: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ended, start, err := parseStat(test.stat)
			if ended != test.ended || start != test.start || (err != nil) != test.fails {
				t.Errorf("parseStat(%q): got %t, %d, %v, want %t, %d, failing %t",
					test.stat, ended, start, err, test.ended, test.start, test.fails)
			}
		})
	}
}

func TestProcessIsIdentifiedByItsStartTimeToo(t *testing.T) {
	self, err := IdentityOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.IsAlive() {
		t.Errorf("this process: got not alive, want alive")
	}
	other := Identity{PID: self.PID, Start: self.Start + 1}
	if other.IsAlive() {
		t.Errorf("a process with this id and another start: got alive, want not")
	}
	if err := other.Signal(unix.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signalling it: got %v, want %v", err, os.ErrProcessDone)
	}
}

func TestProcessThatEndedDoesNotRun(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := IdentityOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Signal(unix.SIGKILL); err != nil {
		t.Errorf("killing a running process: got %v, want no error", err)
	}
	_ = cmd.Wait()
	if id.IsAlive() {
		t.Error("after its end: got alive, want not")
	}
	if err := id.Signal(unix.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("killing it again: got %v, want %v", err, os.ErrProcessDone)
	}
}

func TestTheZeroIdentityNamesNoProcess(t *testing.T) {
	if (Identity{}).IsAlive() {
		t.Error("got alive, want not")
	}
	if err := (Identity{}).Signal(unix.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signalling it: got %v, want %v", err, os.ErrProcessDone)
	}
}
