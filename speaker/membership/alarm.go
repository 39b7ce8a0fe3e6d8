package membership

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm waits for a moment.
type alarm interface {
	// wait returns false when the context has ended, or the alarm.
	wait(ctx context.Context, d time.Duration) bool
	// end wakes who waits, and is called when the context ends.
	end()
}

// goAlarm is one of Go's timers.
type goAlarm struct{}

func (goAlarm) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (goAlarm) end() {}

// kernelAlarm is a timer of the kernel (timerfd_create(2)). Go's poller sleeps for whole
// milliseconds, a little too short, and wakes up twice for each of Go's timers: that alone
// is a good part of what a speaker costs in which nothing happens.
type kernelAlarm struct{ file *os.File }

// newAlarm returns one of the kernel's or, where that gives none, one of Go's.
func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return goAlarm{}
	}
	return &kernelAlarm{os.NewFile(uintptr(fd), "timerfd")}
}

func (k *kernelAlarm) wait(ctx context.Context, d time.Duration) bool {
	if k.rings(d) != nil {
		return goAlarm{}.wait(ctx, d)
	}
	return ctx.Err() == nil
}

// rings sets the timer, and waits for it.
func (k *kernelAlarm) rings(d time.Duration) error {
	raw, err := k.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed unix.Errno
	if err := raw.Control(func(fd uintptr) { failed = setTimer(fd, max(1, d)) }); err != nil || failed != 0 {
		return errors.Join(err, errnoOrNil(failed))
	}
	err = raw.Read(func(fd uintptr) bool {
		failed = readTimer(fd)
		return failed != unix.EAGAIN
	})
	return errors.Join(err, errnoOrNil(failed))
}

func errnoOrNil(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func (k *kernelAlarm) end() { _ = k.file.Close() }
