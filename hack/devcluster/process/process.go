// SPDX-License-Identifier: Apache-2.0

// Package process identifies processes safely: a process id alone may have been
// given to another process since, a process id with its start time may not.
package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Identity names one process of this boot of the machine, for ever. The zero
// value names none.
type Identity struct {
	PID int `json:"pid"`
	// Start is the time of the process's start in clock ticks since boot, field
	// 22 of /proc/PID/stat.
	Start uint64 `json:"start"`
}

// Of returns the identity of the process that has that id now.
func Of(pid int) (Identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Identity{}, fmt.Errorf("reading the status of process %d: %w", pid, err)
	}
	_, start, err := parseStat(string(stat))
	if err != nil {
		return Identity{}, fmt.Errorf("status of process %d: %w", pid, err)
	}
	return Identity{PID: pid, Start: start}, nil
}

// Alive tells whether the process runs: it is there, it is the same, and it is
// not a zombie.
func (i Identity) Alive() bool {
	if i.PID <= 0 {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", i.PID))
	if err != nil {
		return false
	}
	state, start, err := parseStat(string(stat))
	return err == nil && start == i.Start && state != 'Z' && state != 'X'
}

// Signal sends a signal to the process, and to no other that has its id now. It
// returns os.ErrProcessDone when the process is gone.
func (i Identity) Signal(signal unix.Signal) error {
	if i.PID <= 0 {
		return os.ErrProcessDone
	}
	// The descriptor pins the process, so that what Alive says stays true until
	// the signal is sent.
	fd, err := unix.PidfdOpen(i.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", i.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !i.Alive() {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil {
		return fmt.Errorf("signalling process %d: %w", i.PID, err)
	}
	return nil
}

// parseStat reads state and start time out of /proc/PID/stat (proc(5)). The
// program's name, in parentheses, may contain blanks and parentheses itself.
func parseStat(stat string) (state byte, start uint64, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("no name in %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	const stateField, startField = 0, 19 // the third and the 22nd, counted as the manual does
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("only %d fields after the name in %q", len(fields), stat)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("start time: %w", err)
	}
	return fields[stateField][0], start, nil
}
