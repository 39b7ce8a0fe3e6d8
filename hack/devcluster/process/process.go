// SPDX-License-Identifier: Apache-2.0

// Package process identifies processes by their id and start time: the kernel reuses an
// id, but not together with the start time.
package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Identity identifies one process uniquely until the machine reboots. The zero value
// identifies none.
type Identity struct {
	PID int `json:"pid"`
	// Start is when the process started, in clock ticks since boot: field 22 of
	// /proc/PID/stat.
	Start uint64 `json:"start"`
}

// IdentityOf returns the identity of the process that has that id now.
func IdentityOf(pid int) (Identity, error) {
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

// Alive reports whether the process runs: a process with this id and start time exists
// and is not a zombie.
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

// Signal sends a signal to the process, and never to another one that has the same id
// now. It returns os.ErrProcessDone if the process has ended.
func (i Identity) Signal(signal unix.Signal) error {
	if i.PID <= 0 {
		return os.ErrProcessDone
	}
	// The descriptor keeps referring to the same process, so that the result of Alive
	// is still valid when the signal is sent.
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

// parseStat reads from /proc/PID/stat (proc(5)) whether a process has ended and when it
// started. The program's name, in parentheses, may contain blanks and parentheses itself.
// A process whose first thread is a zombie, but which has other threads, has not ended
// yet: it is executing another program, or its other threads are about to end.
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
