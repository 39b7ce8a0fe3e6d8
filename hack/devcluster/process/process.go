// SPDX-License-Identifier: Apache-2.0

// Package process identifies a process by its id and its start time. The kernel may give
// the same id to a later process, but that process has another start time.
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
// identifies no process.
type Identity struct {
	PID int `json:"pid"`
	// Start is the start time of the process, in clock ticks since boot. It is field 22
	// of /proc/PID/stat.
	Start uint64 `json:"start"`
}

// IdentityOf returns the identity of the process that has this id at the moment.
func IdentityOf(pid int) (Identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Identity{}, fmt.Errorf("reading the status of process %d: %w", pid, err)
	}
	_, start, err := parseStat(string(stat))
	if err != nil {
		return Identity{}, fmt.Errorf("parsing the status of process %d: %w", pid, err)
	}
	return Identity{PID: pid, Start: start}, nil
}

// IsAlive reports whether the process runs: a process with this id and start time exists
// and is not a zombie.
func (i Identity) IsAlive() bool {
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

// Signal sends a signal to the process, but never to a later process with the same id. It
// returns os.ErrProcessDone if the process has ended.
func (i Identity) Signal(signal unix.Signal) error {
	if i.PID <= 0 {
		return os.ErrProcessDone
	}
	// The descriptor always refers to the same process. The check below therefore shows that
	// the signal cannot reach a later process with the same id.
	fd, err := unix.PidfdOpen(i.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", i.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !i.IsAlive() {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil {
		return fmt.Errorf("signalling process %d: %w", i.PID, err)
	}
	return nil
}

// parseStat parses /proc/PID/stat (proc(5)). It returns whether the process has ended and
// its start time. The file has the program's name in parentheses, which may contain blanks
// and parentheses too. If the first thread of a process is a zombie, but other threads
// exist, the process has not ended yet: it is executing another program, or its other
// threads are about to end.
func parseStat(stat string) (ended bool, start uint64, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return false, 0, fmt.Errorf("no program name in parentheses in %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	const stateField, threadsField, startField = 0, 17, 19 // fields 3, 20 and 22 of proc(5)
	if len(fields) <= startField {
		return false, 0, fmt.Errorf("only %d fields after the name in %q", len(fields), stat)
	}
	threads, err := strconv.Atoi(fields[threadsField])
	if err != nil {
		return false, 0, fmt.Errorf("parsing the number of threads: %w", err)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return false, 0, fmt.Errorf("parsing the start time: %w", err)
	}
	state := fields[stateField]
	return state == "X" || state == "Z" && threads <= 1, start, nil
}
