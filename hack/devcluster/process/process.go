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
	ended, start, err := parseStat(string(stat))
	return err == nil && start == i.Start && !ended
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
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
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

// parseStat reads start time and whether it has ended out of /proc/PID/stat (proc(5)). The
// program's name, in parentheses, may contain blanks and parentheses itself. A process
// whose first thread is a zombie and that has others has not ended: it executes another
// program just now, or the others will end as well.
func parseStat(stat string) (ended bool, start uint64, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return false, 0, fmt.Errorf("no name in %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	const stateField, threadsField, startField = 0, 17, 19 // the third, 20th and 22nd, counted as the manual does
	if len(fields) <= startField {
		return false, 0, fmt.Errorf("only %d fields after the name in %q", len(fields), stat)
	}
	threads, err := strconv.Atoi(fields[threadsField])
	if err != nil {
		return false, 0, fmt.Errorf("number of threads: %w", err)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return false, 0, fmt.Errorf("start time: %w", err)
	}
	state := fields[stateField]
	return state == "X" || state == "Z" && threads <= 1, start, nil
}
